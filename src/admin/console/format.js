// Numbers, sizes, times and foreign text, as they are shown.

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => (n === null || n === undefined ? "–" : Math.abs(n) >= 100_000 ? compact.format(n) : plain.format(n));

export const rate = (n) => (n < 0.05 ? "" : n < 10 ? n.toFixed(1) : count(Math.round(n)));

export const bytes = (n) => {
    if (n === null || n === undefined) return "–";
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    while (n >= 1024 && at < units.length - 1) {
        n /= 1024;
        at += 1;
    }
    return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
};

export const seconds = (s) => {
    if (s === null || s === undefined) return "–";
    if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
    if (s < 1) return `${s < 0.01 ? (s * 1000).toFixed(1) : Math.round(s * 1000)} ms`;
    return span(s);
};

export const span = (s) => {
    s = Math.max(0, Math.round(s));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 && s < 600 ? ` ${s % 60} s` : ""}`;
    if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
};

// The same in its largest unit.
export const brief = (s) => {
    const [size, unit] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => s >= size) ?? [1, "s"];
    return `${Math.max(0, Math.floor(s / size))} ${unit}`;
};

export const since = (time) => span((Date.now() - new Date(time).getTime()) / 1000);

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
export const hour = (at) => clock.format(at);
export const hourMs = (at) => `${clock.format(at)}.${String(new Date(at).getMilliseconds()).padStart(3, "0")}`;

const date = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const when = (at) => (at ? date.format(new Date(at)) : "–");

// Characters that cannot be seen, or that turn the text around them, are shown by their pictures or their numbers.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const HIDDEN_BUT_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const picture = (c) => {
    const code = c.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
};
// On one line.
export const shown = (text) => String(text ?? "").replace(HIDDEN, picture);
// With its lines and tabs.
export const lines = (text) => String(text ?? "").replace(HIDDEN_BUT_LINES, picture);
export const short = (text, most = 200) => {
    text = shown(String(text ?? "").slice(0, most * 2));
    return text.length > most ? `${text.slice(0, most)}…` : text;
};

// base64 and bytes
export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
export const toBase64 = (all) => {
    let text = "";
    for (let at = 0; at < all.length; at += 0x8000) text += String.fromCharCode(...all.subarray(at, at + 0x8000));
    return btoa(text);
};
export const fromHex = (text) => {
    const digits = text.replace(/0x|[\s,:]/gi, "");
    if (!/^([0-9a-f]{2})*$/i.test(digits)) return null;
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
};
const utf8 = new TextDecoder("utf-8", { fatal: true });
export const textOf = (all) => {
    try {
        return utf8.decode(all);
    } catch {
        return null;
    }
};
// The bytes of a message of the API.
export const payloadOf = ({ payload, payload_base64 }) =>
    payload_base64 !== undefined && payload_base64 !== null ? fromBase64(payload_base64) : new TextEncoder().encode(payload ?? "");

// Does a topic match a filter (MQTT, section 4.7)?
export const matches = (filter, topic) => {
    if (filter.startsWith("$share/")) filter = filter.split("/").slice(2).join("/");
    if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
    const f = filter.split("/");
    const t = topic.split("/");
    for (let at = 0; at < f.length; at += 1) {
        if (f[at] === "#") return true;
        if (at >= t.length || (f[at] !== "+" && f[at] !== t[at])) return false;
    }
    return f.length === t.length;
};

// A file that the browser keeps.
export const download = (name, parts, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
export const csv = (value) => {
    const text = String(value ?? "");
    // a spreadsheet takes these for formulas
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
};
