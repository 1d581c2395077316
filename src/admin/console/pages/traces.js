// Traces: the packets of a client, of a network, or of some topics, as they pass.
import { html, useEffect, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { ask, get, post, remove } from "../api.js";
import { Badge, Button, Card, Check, Empty, Failure, Field, Head, Icon, Input, Select, Text, doing, useAsk, useFrames } from "../ui.js";
import { bytes, count, short, when } from "../format.js";

// Lines that the page keeps of a trace that it follows; the download has all.
const MOST = 1_000;

const KINDS = ["client_id", "filter", "network"];
const target = (trace) => KINDS.filter((kind) => trace[kind] !== null).map((kind) => [t.traces.kinds[kind], trace[kind]])[0];

export const Page = ({ id }) => {
    const c = t.traces;
    const isOne = /^\d+$/.test(id ?? "");
    const { data, error, again } = useAsk((signal) => get("traces", {}, signal), "", 3000);
    const rows = data?.data ?? [];
    const one = isOne && rows.find((trace) => String(trace.id) === id);
    return html`<${Head} title=${c.title} sub=${isOne && html`<a href="#/traces">${c.all}</a>`} /><p class="soft lead">${c.sub}</p><div class="stack"><${Failure} error=${error} />
        ${isOne ? html`${one && html`<${List} rows=${[one]} again=${again} />`}<${Packets} id=${id} key=${id} />` : html`<div class="split wide-left"><${List} rows=${rows} again=${again} known=${data} /><${Start} key=${id} client=${id?.startsWith("of/") ? id.slice(3) : ""} again=${again} /></div>`}</div>`;
};

const List = ({ rows, again, known }) => {
    const c = t.traces;
    const act = async (what, said) => {
        await doing(what, said);
        again();
    };
    const end = async ({ id }) => {
        await act(() => remove(`traces/${id}`), c.removed(id));
        location.hash = "#/traces";
    };
    return html`<${Card} bare label=${c.title}>${known && !rows.length ? html`<${Empty} title=${c.none}><p>${c.noneMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${c.of}</th><th class="num">${c.packets}</th><th class="num">${c.lost}</th><th>${c.state}</th><th><span class="hide-text">${c.actions}</span></th></tr></thead><tbody>
        ${rows.map((one) => html`<tr key=${one.id}><td class="is-title wide"><a href=${`#/traces/${one.id}`}><span class="soft">${target(one)[0]}</span> <${Text}>${short(target(one)[1], 100)}<//></a></td><td class="num" data-name=${c.packets}>${count(one.packets)} <span class="soft">${bytes(one.bytes)}</span></td><td class="num" data-name=${c.lost}>${count(one.lost)}</td><td data-name=${c.state}>${one.ended ? html`<${Badge}>${c.ended}<//>` : html`<${Badge} kind="good">${c.until(when(one.until))}<//>`}${one.payload && html` <${Badge}>${c.payload}<//>`}</td>
            <td class="num"><div class="actions">${!one.ended && html`<${Button} small onClick=${() => act(() => post(`traces/${one.id}/stop`), c.stopped(one.id))}>${c.stop}<//>`}<a class="button is-small" href=${`api/v1/traces/${one.id}`} download=${`trace-${one.id}.jsonl`} aria-label=${`${t.download} ${one.id}`}><${Icon} name="down" />${t.download}</a><${Button} small icon="trash" aria-label=${c.remove(one.id)} title=${c.remove(one.id)} onClick=${() => end(one)} /></div></td></tr>`)}</tbody></table></div>`}<//>`;
};

const Start = ({ client, again }) => {
    const c = t.traces;
    const [form, set] = useState({ kind: "client_id", what: client, for: "10m", payload: false });
    const on = (name) => (value) => set({ ...form, [name]: value });
    const go = async (event) => {
        event.preventDefault();
        const started = await doing(() => post("traces", { [form.kind]: form.what, payload: form.payload, ...(form.for && { for: form.for }) }));
        if (started) {
            again();
            location.hash = `#/traces/${started.id}`;
        }
    };
    const hints = { filter: "home/#", network: "192.0.2.0/24" };
    return html`<${Card} title=${c.start}><form class="form" onSubmit=${go}>
        <${Field} label=${c.of}><${Select} value=${form.kind} onInput=${on("kind")} options=${Object.entries(c.kinds)} /><//>
        <${Field} label=${c.kinds[form.kind]}><${Input} mono value=${form.what} onInput=${on("what")} required placeholder=${hints[form.kind] ?? ""} /><//>
        <${Field} label=${c.lasts} hint=${c.lastsMore}><${Input} value=${form.for} onInput=${on("for")} placeholder="10m" /><//>
        <${Check} checked=${form.payload} onInput=${on("payload")} label=${c.withPayload} />
        <div class="row"><button class="button is-first">${c.go}</button></div></form><//>`;
};

// Follows a trace until it has ended.
const Packets = ({ id }) => {
    const c = t.traces;
    const [error, setError] = useState(null);
    const [paused, pause] = useState(false);
    const kept = useRef({ lines: [], lost: 0, number: 0 });
    const draw = useFrames(150);
    useEffect(() => {
        const abort = new AbortController();
        const read = async () => {
            const { body } = await ask("GET", `traces/${id}`, { query: { follow: true }, signal: abort.signal });
            const reader = body.pipeThrough(new TextDecoderStream()).getReader();
            let rest = "";
            for (;;) {
                const { value, done } = await reader.read();
                if (done) return;
                const lines = (rest + value).split("\n");
                rest = lines.pop();
                lines.forEach((line) => note(kept.current, JSON.parse(line)));
                draw();
            }
        };
        read().catch((problem) => problem.name !== "AbortError" && setError(problem));
        return () => abort.abort();
    }, [id]);
    const { lines, lost } = kept.current;
    const seen = useRef([]);
    if (!paused) seen.current = lines.slice(-200).reverse();
    return html`<${Failure} error=${error} /><${Card} bare title=${c.seen} actions=${html`<${Button} small icon=${paused ? "play" : "pause"} aria-pressed=${String(paused)} onClick=${() => pause(!paused)}>${paused ? t.messages.go : t.messages.pause}<//>`}>
        ${lost > 0 && html`<p class="padded"><${Badge} kind="warn">${c.went(lost)}<//></p>`}
        ${seen.current.length ? html`<ul class="events">${seen.current.map((one) => html`<${Line} key=${one.number} line=${one} />`)}</ul>` : html`<${Empty} title=${c.waits}><p>${c.waitsMore}</p><//>`}<//>`;
};

const note = (kept, line) => {
    if (line.dunlin) return;
    kept.lost += line.lost ?? 0;
    if (!line.at) return;
    kept.lines.push({ ...line, number: kept.number++ });
    if (kept.lines.length > MOST) kept.lines.splice(0, kept.lines.length - MOST);
};

const TOLD = new Set(["at", "client", "direction", "event", "mono_us", "number", "packet", "size", "topic", "user"]);

const Line = ({ line }) => {
    const out = line.direction === "to_client";
    const fields = Object.entries(line).filter(([name, value]) => !TOLD.has(name) && value !== false && value !== null);
    const text = fields.map(([name, value]) => (value === true ? name : `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)).join(" ");
    return html`<li><time>${line.at.slice(11, 23)}</time>${line.packet ? html`<span role="img" aria-label=${out ? t.traces.toClient : t.traces.toServer}>${out ? "←" : "→"}</span>` : html`<span>·</span>`}
        <${Badge} kind=${line.malformed || line.reason_code >= 128 ? "bad" : line.packet ? "" : "warn"}>${line.packet ?? line.event}<//>
        <span class="grow"><${Text} mono>${short(line.client ?? "–", 100)}<//>${line.topic !== undefined && html` <strong><${Text}>${short(line.topic ?? "–", 200)}<//></strong>`} <span class="soft"><${Text}>${short(text, 500)}<//></span></span></li>`;
};
