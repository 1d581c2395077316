// Messages as they are published.
import { html, useEffect, useMemo, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { server } from "../api.js";
import { useLive } from "../live.js";
import { Badge, Button, Card, Empty, Head, Icon, Input, Rows, Select, Text, useFrames } from "../ui.js";
import { csv, download, hourMs, payloadOf, short, textOf, toBase64, when, bytes } from "../format.js";
import { Payload } from "../payload.js";
import { FilterInput, Properties } from "./topics.js";

// Messages, and bytes of their payloads, that the page keeps.
const MOST = 5_000;
const MOST_BYTES = 32 << 20;

const KINDS = {
    all: () => true,
    retained: ({ retain }) => retain,
    fresh: ({ retain }) => !retain,
    again: ({ again }) => again,
    qos0: ({ qos }) => qos === 0,
    qos1: ({ qos }) => qos === 1,
    qos2: ({ qos }) => qos === 2,
};
// What of the stream each choice of a direction shows.
const WAYS = {
    in: { asks: ["messages"], is: () => true },
    clients: { asks: ["messages"], is: ({ client }) => client !== null },
    broker: { asks: ["messages"], is: ({ client }) => client === null },
    out: { asks: ["deliveries"], is: ({ direction }) => direction === "out" },
    all: { asks: ["messages", "deliveries"], is: () => true },
};

// A message as a line of a recording.
export const asLine = ({ at, topic, qos, retain, payload, payload_base64, client, properties, direction }) => JSON.stringify({ at, topic, qos, retain, ...(payload_base64 !== undefined ? { payload_base64 } : { payload }), client, properties, ...(direction === "out" && { direction: "to_client" }) });

export const Page = ({ id }) => {
    const m = t.messages;
    const [filter, setFilter] = useState(id ?? "#");
    const [wrong, setWrong] = useState(null);
    const [text, setText] = useState("");
    const [way, setWay] = useState("in");
    const [kind, setKind] = useState("all");
    const [paused, pause] = useState(false);
    const [chosen, choose] = useState(null);
    const [skipped, setSkipped] = useState(0);
    const [active, setActive] = useState(-1);
    const log = useRef({ all: [], bytes: 0, held: 0, number: 0, last: new Map() });
    const draw = useFrames(100);
    useEffect(() => setFilter(id ?? "#"), [id]);
    const takes = (direction) => ({ data, skipped: n }) => {
        const l = log.current;
        if (n) setSkipped((before) => before + n);
        if (paused) {
            l.held += data.length + n;
            draw();
            return;
        }
        for (const one of data) {
            l.number += 1;
            one.number = l.number;
            one.direction = direction;
            one.at ??= new Date().toISOString();
            one.size = (one.payload ?? one.payload_base64 ?? "").length;
            l.bytes += one.size;
            // of a delivery, the value before is the one that the same client got
            const of = direction === "out" ? `${one.client}\n${one.topic}` : one.topic;
            const before = l.last.get(of);
            one.again = Boolean(before) && before.payload === one.payload && before.payload_base64 === one.payload_base64;
            one.of = of;
            l.last.delete(of);
            l.last.set(of, one);
            l.all.push(one);
        }
        while (l.all.length > MOST || l.bytes > MOST_BYTES) {
            const gone = l.all.shift();
            l.bytes -= gone.size;
            if (l.last.get(gone.of) === gone) l.last.delete(gone.of);
        }
        draw();
    };
    useLive(Object.fromEntries(WAYS[way].asks.map((name) => [name, filter])), { messages: takes("in"), deliveries: takes("out") });
    const small = text.toLowerCase();
    const finds = (one) => KINDS[kind](one) && WAYS[way].is(one) && (one.direction === "in" || WAYS[way].asks.includes("deliveries")) && (!small || one.topic.toLowerCase().includes(small) || (one.payload ?? "").toLowerCase().includes(small));
    const rows = log.current.all.filter(finds);
    const clear = () => {
        Object.assign(log.current, { all: [], bytes: 0, held: 0, last: new Map() });
        setSkipped(0);
        choose(null);
        draw();
    };
    const go = () => {
        log.current.held = 0;
        pause(!paused);
    };
    const name = () => `messages-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}`;
    const saveLines = () => download(`${name()}.jsonl`, [`${JSON.stringify({ dunlin: "recording", version: 1, started: rows[0]?.at ?? null })}\n`, ...rows.map((one) => `${asLine(one)}\n`)], "application/jsonl");
    const saveCsv = () => {
        const head = ["at", "direction", "topic", "qos", "retain", "client", "payload", "payload_base64"];
        download(`${name()}.csv`, [`${head.join(",")}\r\n`, ...rows.map((one) => `${head.map((key) => csv(one[key])).join(",")}\r\n`)], "text/csv");
    };
    const key = (event) => {
        const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
        if (!(event.key in moves)) return;
        event.preventDefault();
        const at = Math.max(0, Math.min(rows.length - 1, (active < 0 ? rows.length : active) + moves[event.key]));
        setActive(at);
        choose(rows[at]);
    };
    const narrow = useNarrow();
    const row = (one, at, style) => html`<div class="entry" role="option" id=${`row-${at}`} key=${one.number} style=${style} aria-selected=${String(one === chosen)} onClick=${() => (choose(one), setActive(at))}>
        <time>${hourMs(new Date(one.at))}</time><bdi class="cut" title=${short(one.topic, 300)}>${short(one.topic, 200)}</bdi>
        <bdi class="cut mono payload">${one.payload_base64 !== undefined ? html`<span class="soft">${bytes(one.payload_base64.length * 0.75)}</span>` : short(one.payload, 240)}</bdi>
        <span class="marks">${one.direction === "out" && html`<span title=${m.delivered(one.client)}><${Badge} kind="good">${m.out}<//></span>`}${one.again && html`<span title=${m.again}><${Badge}>=<//></span>`}${one.retain && html`<span class="pin accent" title=${t.topics.retained}><${Badge} kind="accent">R<//></span>`}<${Badge}>${one.qos}<//></span></div>`;
    return html`<${Head} title=${m.title} sub=${m.count(log.current.all.length)}>
        <${Button} icon=${paused ? "play" : "pause"} aria-pressed=${String(paused)} onClick=${go}>${paused ? m.go : m.pause}<//>
        <${Button} onClick=${clear}>${m.clear}<//><${Button} icon="down" onClick=${saveLines} disabled=${!rows.length}>${m.json}<//><${Button} icon="down" onClick=${saveCsv} disabled=${!rows.length}>${m.csv}<//>
    <//><div class="stack">
        <div class="toolbar">
            <${FilterInput} value=${filter} onInput=${(next) => (location.hash = `#/messages/${encodeURIComponent(next)}`)} wrong=${setWrong} label=${m.filter} />
            <${Input} type="search" value=${text} onInput=${setText} placeholder=${m.search} aria-label=${m.search} />
            <${Select} aria-label=${m.direction} value=${way} onInput=${setWay} options=${Object.entries(m.directions)} />
            <${Select} aria-label=${m.kind} value=${kind} onInput=${setKind} options=${Object.entries(m.kinds)} />
            ${paused && log.current.held > 0 && html`<${Badge} kind="warn">${m.held(log.current.held)}<//>`}
            ${skipped > 0 && html`<${Badge} kind="warn">${m.skipped(skipped)}<//>`}
        </div>
        ${wrong && html`<p class="error">${wrong}</p>`}
        <div class=${`split ${chosen ? "has-detail" : ""}`}>
            <${Card} bare label=${m.title}>${rows.length ? html`<${Rows} className="log" role="listbox" label=${m.title} rows=${rows} height=${narrow ? 46 : 30} row=${row} follow=${!paused && !chosen} onKey=${key} active=${active} />` : html`<${Empty} title=${log.current.all.length ? m.noMatch : m.empty}>${!log.current.all.length && html`<p>${m.emptyMore(filter)}</p>`}<//>`}<//>
            <div class=${`detail ${!chosen ? "is-empty" : ""}`}>${chosen ? html`<${One} one=${chosen} />` : html`<${Card}><${Empty} title=${m.choose}><p>${m.chooseMore}</p><//><//>`}</div>
        </div>
    </div>`;
};

const useNarrow = () => {
    const query = useMemo(() => matchMedia("(max-width: 560px)"), []);
    const [is, set] = useState(query.matches);
    useEffect(() => {
        const changed = () => set(query.matches);
        query.addEventListener("change", changed);
        return () => query.removeEventListener("change", changed);
    }, []);
    return is;
};

const One = ({ one }) => {
    const data = useMemo(() => payloadOf(one), [one]);
    return html`<${Card} title=${html`<${Text} mono>${one.topic.slice(0, 600)}<//>`} label=${t.messages.title}><div class="stack">
        <dl class="facts"><div><dt>${one.direction === "out" ? t.messages.deliveredAt : t.messages.at}</dt><dd>${when(one.at)}</dd></div><div><dt>${one.direction === "out" ? t.messages.to : t.messages.client}</dt><dd>${one.client ? html`<a href=${`#/clients/${encodeURIComponent(one.client)}`}><${Text}>${one.client.slice(0, 200)}<//></a>` : t.topics.brokerItself}</dd></div>
        <div><dt>${t.publish.qos}</dt><dd>${one.qos}${one.retain ? `, ${t.topics.retained}` : ""}</dd></div></dl>
        <p class="soft">${one.direction === "out" ? t.messages.outMore : t.messages.inMore} ${server.routes.has("traces") && html`<a href="#/traces">${t.nav.traces}</a>`}</p>
        <${Payload} data=${data} topic=${one.topic} key=${one.number} />
        <${Properties} all=${one.properties} />
    </div><//>`;
};
