// The wire format of Protocol Buffers, read by a message's description.
import { toBase64 } from "../format.js";
import { t } from "../texts.js";

const DEEPEST = 60;
const utf8 = new TextDecoder("utf-8");

class Reader {
    constructor(data) {
        Object.assign(this, { data, at: 0, view: new DataView(data.buffer, data.byteOffset, data.byteLength) });
    }

    need(n) {
        if (this.at + n > this.data.length) throw new Error(t.decoders.at(t.decoders.ends, this.at));
        this.at += n;
        return this.at - n;
    }

    varint() {
        let value = 0n;
        for (let shift = 0n; shift < 70n; shift += 7n) {
            const byte = this.data[this.need(1)];
            value |= BigInt(byte & 0x7f) << shift;
            if (byte < 0x80) return BigInt.asUintN(64, value);
        }
        throw new Error(t.decoders.at(t.decoders.long, this.at));
    }

    bytes() {
        const length = Number(this.varint());
        const from = this.need(length);
        return this.data.subarray(from, from + length);
    }
}

const plain = (n) => (n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n.toString());
const zigzag = (n) => (n & 1n ? -((n + 1n) >> 1n) : n >> 1n);

// What one value on the wire is, by the type of its field.
const SCALARS = {
    int32: (r) => Number(BigInt.asIntN(32, r.varint())),
    uint32: (r) => Number(BigInt.asUintN(32, r.varint())),
    sint32: (r) => Number(BigInt.asIntN(32, zigzag(r.varint()))),
    int64: (r) => plain(BigInt.asIntN(64, r.varint())),
    uint64: (r) => plain(r.varint()),
    sint64: (r) => plain(zigzag(r.varint())),
    bool: (r) => r.varint() !== 0n,
    fixed32: (r) => r.view.getUint32(r.need(4), true),
    sfixed32: (r) => r.view.getInt32(r.need(4), true),
    float: (r) => Number(r.view.getFloat32(r.need(4), true).toPrecision(7)),
    fixed64: (r) => plain(r.view.getBigUint64(r.need(8), true)),
    sfixed64: (r) => plain(r.view.getBigInt64(r.need(8), true)),
    double: (r) => r.view.getFloat64(r.need(8), true),
    string: (r) => utf8.decode(r.bytes()),
    bytes: (r) => ({ base64: toBase64(r.bytes()) }),
};
const PACKED = new Set(Object.keys(SCALARS).filter((type) => type !== "string" && type !== "bytes"));

// A field that the description does not have.
const unknown = (r, wire) => {
    if (wire === 0) return plain(r.varint());
    if (wire === 1) return plain(r.view.getBigUint64(r.need(8), true));
    if (wire === 5) return r.view.getUint32(r.need(4), true);
    if (wire === 2) return { base64: toBase64(r.bytes()) };
    throw new Error(t.decoders.at(t.decoders.field, r.at));
};

// `find(type)`: what a type is that is none of the above: { fields: Map of numbers to { name, type, repeated, map } }, or
// { values: Map of numbers to names }.
export const read = (data, message, find, depth = 0) => {
    if (depth > DEEPEST) throw new Error(t.decoders.deep);
    const r = new Reader(data);
    const all = {};
    while (r.at < data.length) {
        const tag = Number(r.varint());
        const [number, wire] = [tag >>> 3, tag & 7];
        const field = message.fields.get(number);
        if (!field) {
            const name = `#${number}`;
            const value = unknown(r, wire);
            all[name] = name in all ? [all[name], value].flat() : value;
            continue;
        }
        const one = (from) => {
            const scalar = SCALARS[field.type];
            if (scalar) return scalar(from);
            const other = find(field.type);
            if (!other) throw new Error(t.decoders.noType(field.type));
            if (other.values) {
                const value = Number(BigInt.asIntN(32, from.varint()));
                return other.values.get(value) ?? value;
            }
            return read(from.bytes(), other, find, depth + 1);
        };
        const isPacked = field.repeated && wire === 2 && (PACKED.has(field.type) || find(field.type)?.values);
        if (isPacked) {
            const inner = new Reader(r.bytes());
            const list = (all[field.name] ??= []);
            while (inner.at < inner.data.length) list.push(one(inner));
        } else if (field.map) {
            const { key, value } = read(r.bytes(), field.map, find, depth + 1);
            (all[field.name] ??= {})[String(key ?? "")] = value ?? null;
        } else if (field.repeated) (all[field.name] ??= []).push(one(r));
        else all[field.name] = one(r);
    }
    return all;
};
