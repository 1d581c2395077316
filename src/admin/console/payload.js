// A payload as text, as a tree of JSON, as bytes; the difference of two.
import { html, useEffect, useMemo, useState } from "./kit.js";
import { t } from "./texts.js";
import { Button, Copy, Select, Tabs, useKept } from "./ui.js";
import { bytes, lines, short, shown, textOf } from "./format.js";
import { decode, formatOf } from "./decoders.js";

// As much as is drawn at first, and of bytes.
const MOST = 20_000;
const MOST_BYTES = 4_096;
const CHILDREN = 100;

export const parse = (text) => {
    try {
        return { value: JSON.parse(text) };
    } catch {
        return null;
    }
};

export const Payload = ({ data, topic, view: fixed }) => {
    const text = useMemo(() => textOf(data), [data]);
    const json = useMemo(() => (text !== null && /^\s*[[{]/.test(text) ? parse(text) : null), [text]);
    const [chosen, choose] = useState(null);
    const views = [text !== null && "text", json && "json", "hex", "decoded"].filter(Boolean);
    const wanted = chosen ?? fixed ?? (formatOf(topic) && "decoded");
    const view = views.includes(wanted) ? wanted : json ? "json" : views[0];
    return html`<div class="form">
        <div class="row"><${Tabs} label=${t.payload.view} value=${view} onInput=${choose} options=${views.map((one) => [one, t.payload[one]])} />
            <span class="soft">${bytes(data.length)}</span>${text !== null && html`<span class="grow"></span><${Copy} text=${text} small />`}</div>
        ${data.length === 0 ? html`<p class="soft">${t.payload.empty}</p>` : view === "text" ? html`<${Long} text=${text} />` : view === "json" ? html`<div class="value-box json"><${Node} value=${json.value} open=${3} /></div>` : view === "decoded" ? html`<${Decoded} data=${data} topic=${topic} />` : html`<${Hex} data=${data} />`}
    </div>`;
};

const Long = ({ text }) => {
    const [all, set] = useState(false);
    const part = all ? text : text.slice(0, MOST);
    return html`<pre class="value-box" tabindex="0">${lines(part)}</pre>${part.length < text.length && html`<p class="row soft">${t.payload.truncated(bytes(MOST))} <${Button} small onClick=${() => set(true)}>${t.payload.all}<//></p>`}`;
};

const Node = ({ name, value, open }) => {
    const [is, set] = useState(open > 0);
    const [more, setMore] = useState(CHILDREN);
    const key = name !== undefined && html`<span class="k">${shown(String(name).slice(0, 500))}</span>: `;
    if (value === null || typeof value !== "object") {
        const kind = typeof value === "string" ? "s" : typeof value === "number" ? "n" : "w";
        const text = typeof value === "string" ? JSON.stringify(value.slice(0, MOST)) : String(value);
        return html`<div>${key}<span class=${`${kind} text`}>${shown(text)}</span></div>`;
    }
    const entries = Array.isArray(value) ? value.map((one, at) => [at, one]) : Object.entries(value);
    const [from, to] = Array.isArray(value) ? "[]" : "{}";
    if (!entries.length) return html`<div>${key}${from}${to}</div>`;
    return html`<div><button aria-expanded=${String(is)} onClick=${() => set(!is)}>${is ? "▾" : "▸"} ${key}${from}${!is && html`<span>${entries.length}</span>${to}`}</button>
        ${is && html`<ul>${entries.slice(0, more).map(([name, one]) => html`<li><${Node} name=${name} value=${one} open=${open - 1} /></li>`)}${entries.length > more && html`<li><${Button} small onClick=${() => setMore(more * 10)}>${t.more}<//></li>`}</ul>${to}`}</div>`;
};

export const hexOf = (data) => {
    const rows = [];
    for (let at = 0; at < data.length; at += 16) {
        const part = [...data.subarray(at, at + 16)];
        const hex = part.map((byte) => byte.toString(16).padStart(2, "0"));
        const left = hex.slice(0, 8).join(" ").padEnd(23);
        const right = hex.slice(8).join(" ").padEnd(23);
        const text = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
        rows.push(`${at.toString(16).padStart(6, "0")}  ${left}  ${right}  ${text}`);
    }
    return rows.join("\n");
};

const Hex = ({ data }) => {
    const [most, set] = useState(MOST_BYTES);
    return html`<pre class="value-box hex" tabindex="0">${hexOf(data.subarray(0, most))}</pre>${data.length > most && html`<p class="row soft">${t.payload.truncated(bytes(most))} <${Button} small onClick=${() => set(most * 16)}>${t.more}<//></p>`}`;
};

// The format is the user's word, kept for each topic; below spBv1.0/ it is Sparkplug B.
const Decoded = ({ data, topic }) => {
    const p = t.payload;
    const [kept, keep] = useKept("formats", {});
    const [schema, setSchema] = useKept("schema", null);
    const [names, setNames] = useState([]);
    const [told, set] = useState(null);
    const format = kept[topic] ?? formatOf(topic) ?? "";
    useEffect(() => {
        let ended = false;
        if (!format) return set(null);
        const done = (result) => ended || set(result);
        decode(format, data, schema).then((value) => done({ value }), (error) => done({ error }));
        return () => (ended = true);
    }, [data, format, schema]);
    useEffect(() => {
        if (format === "protobuf" && schema) import("./decoders/protobuf.js").then(({ messagesOf }) => setNames(messagesOf(schema.text))).catch(() => setNames([]));
    }, [format, schema]);
    const choose = (next) => keep((all) => Object.fromEntries([...Object.entries(all).filter(([name]) => name !== topic).slice(-200), [topic, next]]));
    const upload = async ({ target: { files: [file] } }) => file && setSchema({ name: file.name, text: (await file.text()).slice(0, 500_000), message: null });
    return html`<div class="row"><${Select} aria-label=${p.format} value=${format} onInput=${choose} options=${[["", p.choose], ...Object.entries(p.formats)]} />
            ${format === "protobuf" && html`<label class="button is-small">${schema ? short(schema.name, 40) : p.schema}<input class="hide-text" type="file" accept=".proto" onChange=${upload} /></label>
                ${names.length > 0 && html`<${Select} aria-label=${p.message} value=${schema.message ?? names[0]} onInput=${(message) => setSchema({ ...schema, message })} options=${names.map((name) => [name, name])} />`}`}</div>
        ${told?.error && html`<p class="error" role="status">${lines(told.error.message)}</p>`}
        ${told && !told.error && html`<div class="value-box json"><${Node} value=${told.value} open=${4} /></div>`}`;
};

// Lines that went and came between two texts; JSON is compared by its lines when it is written out.
const LINES = 400;
const linesOf = (text) => {
    const json = parse(text);
    const written = json && typeof json.value === "object" ? JSON.stringify(json.value, null, 2) : text;
    return written.split("\n").slice(0, LINES);
};

export const difference = (before, after) => {
    const a = linesOf(before);
    const b = linesOf(after);
    // the longest common part, from the ends inwards
    const width = b.length + 1;
    const best = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i -= 1) {
        for (let j = b.length - 1; j >= 0; j -= 1) {
            best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
        }
    }
    const told = [];
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
        if (i < a.length && j < b.length && a[i] === b[j]) {
            told.push([" ", a[i]]);
            i += 1;
            j += 1;
        } else if (i < a.length && (j >= b.length || best[(i + 1) * width + j] >= best[i * width + j + 1])) {
            told.push(["-", a[i]]);
            i += 1;
        } else {
            told.push(["+", b[j]]);
            j += 1;
        }
    }
    return told;
};

export const Difference = ({ before, after }) => {
    const told = useMemo(() => difference(before, after), [before, after]);
    if (told.every(([way]) => way === " ")) return html`<p class="soft">${t.topics.noDifference}</p>`;
    return html`<div class="value-box diff">${told.map(([way, line]) => (way === " " ? html`<div>  ${shown(line)}</div>` : way === "-" ? html`<del>- ${shown(line)}</del>` : html`<ins>+ ${shown(line)}</ins>`))}</div>`;
};

// The numbers of a value, by their paths; what is true or false comes behind them, as 1 and 0.
export const numbers = (text, most = 100) => {
    const found = new Map();
    const flags = new Map();
    const add = (path, value, depth) => {
        if (found.size >= most || depth > 6) return;
        if (typeof value === "number") found.set(path, value);
        else if (typeof value === "boolean") flags.set(path, Number(value));
        else if (value && typeof value === "object") Object.entries(value).forEach(([name, one]) => add(path ? `${path}.${name}` : name, one, depth + 1));
    };
    if (text === null) return found;
    const json = parse(text);
    if (json) add("", json.value, 0);
    else {
        // "21.5 °C" is a number, too
        const number = /^\s*[-+]?\d+([.,]\d+)?/.exec(text);
        if (number && text.length < 40) found.set("", Number(number[0].trim().replace(",", ".")));
    }
    flags.forEach((value, path) => found.size < most && found.set(path, value));
    return found;
};
