// Events as they happen; the broker's log; the audit log of HTTP.
import { html, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { get, may, server } from "../api.js";
import { useLive } from "../live.js";
import { Badge, Button, Card, Empty, Failure, Head, Input, Select, Tabs, Text, useAsk, useFrames } from "../ui.js";
import { hour, when } from "../format.js";
import { Event } from "./overview.js";

const MOST = 1_000;

export const Page = () => {
    const l = t.log;
    const [shows, setShows] = useState("events");
    const parts = { events: () => html`<${Events} />`, log: () => html`<${Log} />`, audit: () => html`<${Audit} />` };
    const options = ["events", may("operator") && server.routes.has("log") && "log", "audit"].filter(Boolean).map((part) => [part, l[part]]);
    return html`<${Head} title=${l.title}><${Tabs} label=${l.title} value=${shows} onInput=${setShows} options=${options} /><//>${parts[shows]()}`;
};

const LEVELS = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

const Log = () => {
    const l = t.log;
    const [least, setLeast] = useState("TRACE");
    const [text, setText] = useState("");
    const [paused, pause] = useState(false);
    const { data, error } = useAsk((signal) => get("log", { limit: 1000 }, signal), "", paused ? 0 : 2000);
    const small = text.toLowerCase();
    const rows = (data?.data ?? []).filter((one) => LEVELS.indexOf(one.level) <= LEVELS.indexOf(least) && (!small || one.text.toLowerCase().includes(small)));
    const kind = { ERROR: "bad", WARN: "warn", INFO: "good" };
    return html`<div class="stack"><div class="toolbar"><${Input} type="search" value=${text} onInput=${setText} placeholder=${t.search} aria-label=${t.search} />
        <${Select} aria-label=${l.level} value=${least} onInput=${setLeast} options=${LEVELS.map((level) => [level, l.levels[level]])} />
        <${Button} icon=${paused ? "play" : "pause"} aria-pressed=${String(paused)} onClick=${() => pause(!paused)}>${paused ? t.messages.go : t.messages.pause}<//></div>
        <${Failure} error=${error} />
        <${Card} bare label=${l.log}>${rows.length ? html`<ul class="events">${rows.slice(0, 300).map((one) => html`<li><time title=${when(one.at)}>${hour(new Date(one.at))}</time><${Badge} kind=${kind[one.level]}>${one.level}<//><span class="grow"><${Text} mono>${one.text}<//></span></li>`)}</ul>` : html`<${Empty} title=${data?.data.length ? l.noLine : l.noLog}><p>${data?.data.length ? t.clients.noneMore : l.noLogMore}</p><//>`}<//></div>`;
};

const Events = () => {
    const [type, setType] = useState("");
    const [text, setText] = useState("");
    const [paused, pause] = useState(false);
    const all = useRef([]);
    const lost = useRef(0);
    const draw = useFrames(150);
    useLive({ events: true }, {
        events: ({ data, lost: n }) => {
            if (paused) return;
            lost.current += n;
            all.current = [...data.reverse(), ...all.current].slice(0, MOST);
            draw();
        },
    });
    const small = text.toLowerCase();
    const rows = all.current.filter((one) => (!type || one.type === type) && (!small || JSON.stringify(one).toLowerCase().includes(small))).slice(0, 200);
    const kinds = Object.keys(t.events.types);
    return html`<div class="stack"><div class="toolbar"><${Input} type="search" value=${text} onInput=${setText} placeholder=${t.search} aria-label=${t.search} />
        <${Select} aria-label=${t.messages.kind} value=${type} onInput=${setType} options=${[["", t.messages.kinds.all], ...kinds.map((one) => [one, one.replace("_", " ")])]} />
        <${Button} icon=${paused ? "play" : "pause"} aria-pressed=${String(paused)} onClick=${() => pause(!paused)}>${paused ? t.messages.go : t.messages.pause}<//>
        ${lost.current > 0 && html`<${Badge} kind="warn">${t.events.lost(lost.current)}<//>`}</div>
        <${Card} bare label=${t.log.events}>${rows.length ? html`<ul class="events">${rows.map((event) => html`<${Event} event=${event} />`)}</ul>` : html`<${Empty} title=${t.log.waits}><p>${t.log.waitsMore}</p><//>`}<//></div>`;
};

const Audit = () => {
    const l = t.log;
    const sees = may("admin");
    const { data, error } = useAsk((signal) => (sees ? get("audit", { limit: 200 }, signal) : null), "", 5000);
    if (!sees) return html`<${Card}><${Empty} title=${l.needsAdmin} /><//>`;
    const rows = data?.data ?? [];
    return html`<div class="stack"><${Failure} error=${error} /><${Card} bare label=${l.audit}>${data && !rows.length ? html`<${Empty} title=${l.noAudit} />` : html`<div class="scroll"><table class="is-list"><thead><tr>${Object.entries(l.columns).map(([key, name]) => html`<th class=${key === "status" ? "num" : ""}>${name}</th>`)}</tr></thead><tbody>
        ${rows.map((one) => html`<tr><td class="soft" data-name=${l.columns.at}>${when(one.at)}</td><td data-name=${l.columns.by}><${Text}>${one.by}<//></td><td data-name=${l.columns.from}><${Text} mono>${one.from}<//></td><td data-name=${l.columns.method}>${one.method}</td><td class="wide" data-name=${l.columns.what}><${Text} mono>${one.what}<//></td><td class="num" data-name=${l.columns.status}><${Badge} kind=${one.status < 400 ? "good" : "bad"}>${one.status}<//></td></tr>`)}</tbody></table></div>`}<//></div>`;
};
