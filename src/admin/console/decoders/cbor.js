// CBOR (RFC 8949).
import { toBase64 } from "../format.js";
import { t } from "../texts.js";

const DEEPEST = 100;
const utf8 = new TextDecoder("utf-8");

export const decode = (data) => {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let at = 0;
    const wrong = (why) => new Error(t.decoders.wrong("CBOR", why, at));
    const need = (n) => {
        if (at + n > data.length) throw wrong(t.decoders.ends);
        at += n;
        return at - n;
    };
    const half = (bits) => {
        const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
        if (exponent === 0) return sign * 2 ** -14 * (fraction / 1024);
        if (exponent === 31) return fraction ? NaN : sign * Infinity;
        return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
    };
    const number = (more) => {
        if (more < 24) return more;
        if (more === 24) return view.getUint8(need(1));
        if (more === 25) return view.getUint16(need(2));
        if (more === 26) return view.getUint32(need(4));
        if (more === 27) {
            const value = view.getBigUint64(need(8));
            return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
        }
        throw wrong(t.decoders.length);
    };
    const chunks = (kind, depth) => {
        const all = [];
        while (data[at] !== 0xff) {
            if (at >= data.length) throw wrong(t.decoders.ends);
            if (data[at] >> 5 !== kind) throw wrong(t.decoders.part);
            all.push(item(depth + 1));
        }
        at += 1;
        return all;
    };
    const isBreak = () => {
        if (data[at] !== 0xff) return false;
        at += 1;
        return true;
    };
    const key = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value));
    const item = (depth) => {
        if (depth > DEEPEST) throw wrong(t.decoders.deep);
        const first = view.getUint8(need(1));
        const [kind, more] = [first >> 5, first & 31];
        const open = more === 31;
        if (kind === 0) return plain(number(more));
        if (kind === 1) {
            const n = number(more);
            return typeof n === "bigint" ? plain(-1n - n) : -1 - n;
        }
        if (kind === 2) {
            if (open) return chunks(2, depth).map(({ base64 }) => base64).join(" ");
            const length = Number(number(more));
            const from = need(length);
            return { base64: toBase64(data.subarray(from, from + length)) };
        }
        if (kind === 3) {
            if (open) return chunks(3, depth).join("");
            const length = Number(number(more));
            const from = need(length);
            return utf8.decode(data.subarray(from, from + length));
        }
        if (kind === 4) {
            const all = [];
            if (open) while (!isBreak()) all.push(item(depth + 1));
            else for (let n = Number(number(more)); n > 0; n -= 1) all.push(item(depth + 1));
            return all;
        }
        if (kind === 5) {
            const all = new Map();
            const one = () => {
                const name = key(item(depth + 1));
                all.set(name, item(depth + 1));
            };
            if (open) while (!isBreak()) one();
            else for (let n = Number(number(more)); n > 0; n -= 1) one();
            return Object.fromEntries(all);
        }
        if (kind === 6) {
            const tag = number(more);
            const value = item(depth + 1);
            if (tag === 0) return value;
            if (tag === 1 && typeof value === "number") return new Date(value * 1000).toISOString();
            return { tag: String(tag), value };
        }
        if (more === 20) return false;
        if (more === 21) return true;
        if (more === 22 || more === 23) return null;
        if (more === 25) return half(view.getUint16(need(2)));
        if (more === 26) return view.getFloat32(need(4));
        if (more === 27) return view.getFloat64(need(8));
        return { simple: number(more) };
    };
    const value = item(0);
    if (at < data.length) throw wrong(t.decoders.more);
    return value;
};

// JSON has no such numbers
const plain = (n) => (typeof n === "bigint" ? n.toString() : n);
