// Record and replay: messages of a filter, kept in this page; a recording that is published again.
import { html, useEffect, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { post } from "../api.js";
import { want } from "../live.js";
import { Badge, Button, Card, Check, Empty, Failure, Field, Head, Input, Select, useFrames } from "../ui.js";
import { bytes, download, span } from "../format.js";
import { FilterInput } from "./topics.js";
import { asLine } from "./messages.js";

const MOST = 50_000;
const MOST_BYTES = 64 << 20;
const AT_ONCE = 200;

// It goes on while another page is shown.
const recording = { all: [], bytes: 0, lost: 0, began: null, ended: null, stop: null, filter: "#", full: false, watcher: null };
const changed = () => recording.watcher?.();

const start = (filter) => {
    Object.assign(recording, { all: [], bytes: 0, lost: 0, began: Date.now(), ended: null, filter, full: false });
    recording.stop = want({ record: filter }, {
        record: ({ data, skipped }) => {
            recording.lost += skipped;
            for (const one of data) {
                if (recording.all.length >= MOST || recording.bytes >= MOST_BYTES) {
                    recording.full = true;
                    stop();
                    break;
                }
                one.at ??= new Date().toISOString();
                recording.bytes += (one.payload ?? one.payload_base64 ?? "").length + one.topic.length;
                recording.all.push(one);
            }
            changed();
        },
    });
    changed();
};

const stop = () => {
    recording.stop?.();
    recording.stop = null;
    recording.ended = Date.now();
    changed();
};

export const Page = () => {
    const r = t.record;
    const draw = useFrames(200);
    const [filter, setFilter] = useState(recording.filter);
    const [wrong, setWrong] = useState(null);
    const [opened, setOpened] = useState(null);
    useEffect(() => {
        recording.watcher = draw;
        const timer = setInterval(draw, 1000);
        return () => {
            recording.watcher = null;
            clearInterval(timer);
        };
    }, []);
    const is = Boolean(recording.stop);
    const length = ((recording.ended ?? Date.now()) - recording.began) / 1000;
    const save = () => {
        const head = { dunlin: "recording", version: 1, started: new Date(recording.began).toISOString(), filter: recording.filter };
        download(`recording-${head.started.slice(0, 19).replaceAll(":", "-")}.jsonl`, [`${JSON.stringify(head)}\n`, ...recording.all.map((one) => `${asLine(one)}\n`)], "application/jsonl");
    };
    return html`<${Head} title=${r.title} sub=${is && html`<${Badge} kind="bad">${r.recording(recording.all.length, bytes(recording.bytes), span(length))}<//>`} /><div class="two">
        <${Card} title=${r.record}><div class="form">
            <${FilterInput} value=${filter} onInput=${setFilter} wrong=${setWrong} label=${r.filter} disabled=${is} />
            ${wrong && html`<p class="error">${wrong}</p>`}
            <div class="row">${is ? html`<${Button} kind="bad first" onClick=${stop}>${r.stop}<//>` : html`<${Button} kind="first" icon="record" disabled=${Boolean(wrong)} onClick=${() => start(filter)}>${r.start}<//>`}
                <${Button} icon="down" disabled=${!recording.all.length} onClick=${save}>${r.download}<//></div>
            ${recording.began ? html`<p class="num-line" role="status">${r.recording(recording.all.length, bytes(recording.bytes), span(length))}${recording.lost > 0 && html` <${Badge} kind="warn">${r.lost(recording.lost)}<//>`}</p>${recording.full && html`<p class="error">${r.full}</p>`}` : html`<${Empty} title=${r.none}><p>${r.noneMore}</p><//>`}
        </div><//>
        <${Replay} opened=${opened} setOpened=${setOpened} all=${opened?.all ?? (is ? [] : recording.all)} />
    </div>`;
};

// The messages of a recording, or what is wrong with it.
export const parse = (text) => {
    const all = [];
    const rows = text.split("\n").filter((line) => line.trim());
    const head = JSON.parse(rows[0] ?? "null");
    if (head?.dunlin !== "recording") throw new Error(t.record.wrong);
    rows.slice(1).forEach((line, at) => {
        const one = JSON.parse(line);
        // packets and deliveries are for other readers
        if (one.packet || one.direction === "to_client") return;
        if (typeof one.topic !== "string") throw new Error(t.record.wrongLine(at + 2));
        all.push(one);
    });
    return all;
};

const Replay = ({ opened, setOpened, all }) => {
    const r = t.record;
    const [speed, setSpeed] = useState("1");
    const [from, setFrom] = useState("");
    const [to, setTo] = useState("");
    const [retain, setRetain] = useState(false);
    const [done, setDone] = useState(null);
    const [error, setError] = useState(null);
    const ended = useRef(false);
    useEffect(() => () => (ended.current = true), []);
    const open = async (event) => {
        const [file] = event.target.files;
        if (!file) return;
        setError(null);
        try {
            setOpened({ name: file.name, all: parse(await file.text()) });
        } catch (problem) {
            setOpened(null);
            setError(new Error(`${r.wrong}: ${problem.message}`));
        }
    };
    const play = async () => {
        ended.current = false;
        setError(null);
        const messages = all.filter(({ topic }) => !topic.startsWith("$")).map((one) => ({
            at: new Date(one.at ?? 0).getTime(),
            topic: one.topic.startsWith(from) ? to + one.topic.slice(from.length) : one.topic,
            qos: one.qos ?? 0,
            retain: retain && Boolean(one.retain),
            ...(one.payload_base64 !== undefined ? { payload_base64: one.payload_base64 } : { payload: one.payload ?? "" }),
            ...(one.properties && Object.keys(one.properties).length ? { properties: one.properties } : {}),
        }));
        const began = performance.now();
        const first = messages[0]?.at ?? 0;
        let sent = 0;
        try {
            while (sent < messages.length && !ended.current) {
                const until = speed === "max" ? Infinity : first + (performance.now() - began) * Number(speed);
                const due = [];
                let size = 0;
                while (sent + due.length < messages.length && due.length < AT_ONCE && size < 500_000 && messages[sent + due.length].at <= until) {
                    const { at, ...message } = messages[sent + due.length];
                    size += JSON.stringify(message).length;
                    due.push(message);
                }
                if (due.length) await post("publish", due);
                sent += due.length;
                setDone({ sent, all: messages.length, plays: true });
                if (!due.length) await new Promise((next) => setTimeout(next, 20));
            }
        } catch (problem) {
            setError(problem);
        }
        setDone({ sent, all: messages.length, plays: false });
    };
    return html`<${Card} title=${r.replay}><div class="form">
        <p class="soft">${r.replayMore}</p>
        <${Field} label=${r.open} hint=${opened && `${opened.name}: ${t.messages.count(opened.all.length)}`}><input class="input" type="file" accept=".jsonl,.json,.txt" onChange=${open} /><//>
        <div class="cols"><${Field} label=${r.speed}><${Select} value=${speed} onInput=${setSpeed} options=${Object.entries(r.speeds).sort(([a], [b]) => (a === "max") - (b === "max") || a - b)} /><//>
            <${Field} label=${r.from}><${Input} mono value=${from} onInput=${setFrom} placeholder="home/" /><//><${Field} label=${r.to}><${Input} mono value=${to} onInput=${setTo} placeholder="test/home/" /><//></div>
        <${Check} checked=${retain} onInput=${setRetain} label=${r.retain} />
        <${Failure} error=${error} />
        <div class="row">${done?.plays ? html`<${Button} onClick=${() => (ended.current = true)}>${r.stop}<//>` : html`<${Button} kind="first" icon="play" disabled=${!all.length} onClick=${play}>${r.play}<//>`}
            <span class="soft" role="status">${done ? (done.plays ? r.playing(done.sent, done.all) : r.played(done.sent)) : all.length ? t.messages.count(all.length) : ""}</span></div>
        <p class="soft">${r.own}</p>
    </div><//>`;
};
