// MessagePack.
import { toBase64 } from "../format.js";
import { t } from "../texts.js";

const DEEPEST = 100;
const utf8 = new TextDecoder("utf-8");

export const decode = (data) => {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let at = 0;
    const wrong = (why) => new Error(t.decoders.wrong("MessagePack", why, at));
    const need = (n) => {
        if (at + n > data.length) throw wrong(t.decoders.ends);
        at += n;
        return at - n;
    };
    const bytes = (n) => {
        const from = need(n);
        return data.subarray(from, from + n);
    };
    const u8 = () => view.getUint8(need(1));
    const u16 = () => view.getUint16(need(2));
    const u32 = () => view.getUint32(need(4));
    const big = (n) => (n >= Number.MIN_SAFE_INTEGER && n <= Number.MAX_SAFE_INTEGER ? Number(n) : n.toString());
    const text = (n) => utf8.decode(bytes(n));
    const binary = (n) => ({ base64: toBase64(bytes(n)) });
    const array = (n, depth) => {
        const all = [];
        for (; n > 0; n -= 1) all.push(item(depth + 1));
        return all;
    };
    const map = (n, depth) => {
        const all = new Map();
        for (; n > 0; n -= 1) {
            const name = item(depth + 1);
            all.set(typeof name === "object" ? JSON.stringify(name) : String(name), item(depth + 1));
        }
        return Object.fromEntries(all);
    };
    const extension = (n) => {
        const type = view.getInt8(need(1));
        if (type !== -1) return { type, ...binary(n) };
        if (n === 4) return new Date(u32() * 1000).toISOString();
        if (n === 8) {
            const value = view.getBigUint64(need(8));
            return new Date(Number(value & 0x3ffffffffn) * 1000 + Number(value >> 34n) / 1e6).toISOString();
        }
        const nanos = u32();
        return new Date(Number(view.getBigInt64(need(8))) * 1000 + nanos / 1e6).toISOString();
    };
    const item = (depth) => {
        if (depth > DEEPEST) throw wrong(t.decoders.deep);
        const first = u8();
        if (first < 0x80) return first;
        if (first < 0x90) return map(first & 15, depth);
        if (first < 0xa0) return array(first & 15, depth);
        if (first < 0xc0) return text(first & 31);
        if (first >= 0xe0) return first - 256;
        switch (first) {
            case 0xc0: return null;
            case 0xc2: return false;
            case 0xc3: return true;
            case 0xc4: return binary(u8());
            case 0xc5: return binary(u16());
            case 0xc6: return binary(u32());
            case 0xc7: return extension(u8());
            case 0xc8: return extension(u16());
            case 0xc9: return extension(u32());
            case 0xca: return view.getFloat32(need(4));
            case 0xcb: return view.getFloat64(need(8));
            case 0xcc: return u8();
            case 0xcd: return u16();
            case 0xce: return u32();
            case 0xcf: return big(view.getBigUint64(need(8)));
            case 0xd0: return view.getInt8(need(1));
            case 0xd1: return view.getInt16(need(2));
            case 0xd2: return view.getInt32(need(4));
            case 0xd3: return big(view.getBigInt64(need(8)));
            case 0xd4: return extension(1);
            case 0xd5: return extension(2);
            case 0xd6: return extension(4);
            case 0xd7: return extension(8);
            case 0xd8: return extension(16);
            case 0xd9: return text(u8());
            case 0xda: return text(u16());
            case 0xdb: return text(u32());
            case 0xdc: return array(u16(), depth);
            case 0xdd: return array(u32(), depth);
            case 0xde: return map(u16(), depth);
            case 0xdf: return map(u32(), depth);
            default: throw wrong(t.decoders.byte);
        }
    };
    const value = item(0);
    if (at < data.length) throw wrong(t.decoders.more);
    return value;
};
