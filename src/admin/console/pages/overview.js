// The overview: rates and levels of the last 15 minutes, conditions in words, commands for the first client.
import { html, useEffect, useMemo, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { get } from "../api.js";
import { useLive } from "../live.js";
import { Button, Card, Code, Empty, Failure, Head, Notice, Text, useAsk } from "../ui.js";
import { Chart, Legend, Spark } from "../charts.js";
import { bytes, count, hour, seconds, since, span, when } from "../format.js";

const MOST = 900;
const NAMES = ["messages_received", "messages_sent", "messages_dropped", "bytes_received", "bytes_sent", "connected", "queued", "queued_bytes", "fsync_p99"];

const empty = () => ({ at: [], ...Object.fromEntries(NAMES.map((name) => [name, []])) });

const useHistory = () => {
    const [all, set] = useState(null);
    useEffect(() => {
        get("history").then(({ every, ends_at, points }) => {
            const length = points.connected?.length ?? 0;
            const end = new Date(ends_at).getTime() / 1000;
            set({ ...empty(), ...points, at: Array.from({ length }, (_, at) => end - (length - 1 - at) * every) });
        }, () => set(empty()));
    }, []);
    useLive({ points: true }, {
        point: (point) =>
            set((before) => {
                const now = before ?? empty();
                const at = new Date(point.at).getTime() / 1000;
                if (now.at.length && at <= now.at[now.at.length - 1]) return now;
                const next = { at: [...now.at, at].slice(-MOST) };
                NAMES.forEach((name) => (next[name] = [...now[name], point[name]].slice(-MOST)));
                return next;
            }),
    });
    return all;
};

const last = (all) => all[all.length - 1] ?? 0;

const Tile = ({ name, value, unit, values, kind, bad }) => html`<div class="card tile"><span class="name">${name}</span><span class=${`value ${bad ? "bad" : ""}`}>${value}${unit && html`<small>${unit}</small>`}</span><${Spark} values=${values} kind=${kind} /></div>`;

const Tiles = ({ all }) => {
    const drops = all.messages_dropped.reduce((sum, n) => sum + n, 0);
    const syncs = all.fsync_p99.filter((n) => n !== null);
    return html`<div class="tiles">
        <${Tile} name=${t.overview.connected} value=${count(last(all.connected))} values=${all.connected} />
        <${Tile} name=${t.overview.in} value=${count(last(all.messages_received))} unit=${t.units.perSecond} values=${all.messages_received} />
        <${Tile} name=${t.overview.out} value=${count(last(all.messages_sent))} unit=${t.units.perSecond} values=${all.messages_sent} kind="2" />
        <${Tile} name=${t.overview.dropped} value=${count(drops)} unit=${t.units.perQuarter} values=${all.messages_dropped} kind="4" bad=${drops > 0} />
        <${Tile} name=${t.overview.queued} value=${bytes(last(all.queued_bytes))} values=${all.queued_bytes} kind="3" />
        <${Tile} name=${t.overview.fsync} value=${syncs.length ? seconds(last(syncs)) : "–"} values=${all.fsync_p99.map((n) => n ?? 0)} kind="3" />
    </div>`;
};

const Charts = ({ all }) => {
    const messages = useMemo(() => [all.at, all.messages_received, all.messages_sent], [all]);
    const traffic = useMemo(() => [all.at, all.bytes_received, all.bytes_sent], [all]);
    const names = [t.overview.received, t.overview.sent];
    return html`<div class="two">
        <${Card} bare title=${t.overview.traffic} actions=${html`<${Legend} entries=${[[names[0], count(last(all.messages_received))], [names[1], count(last(all.messages_sent))]]} />`}>
            <${Chart} data=${messages} names=${names} format=${count} label=${t.overview.traffic} /><//>
        <${Card} bare title=${t.overview.bytes} actions=${html`<${Legend} entries=${[[names[0], bytes(last(all.bytes_received))], [names[1], bytes(last(all.bytes_sent))]]} />`}>
            <${Chart} data=${traffic} names=${names} format=${bytes} label=${t.overview.bytes} /><//>
    </div>`;
};

// What is not as it should be, in words, with what to do.
export const conditions = (broker, drops, worst) => {
    const told = [];
    const tell = (kind, title, more) => told.push({ kind, title, more });
    const o = t.overview;
    const store = (broker.store ?? "").toLowerCase();
    if (broker.stopping) tell("warn", o.stopping, o.stoppingMore);
    if (store.includes("full")) tell("bad", o.full, o.fullMore);
    if (store.includes("stuck")) tell("bad", o.stuck, o.stuckMore);
    if (store.includes("failed")) tell("bad", o.storeFailed, o.storeFailedMore);
    for (const alarm of broker.alarms) tell("bad", o.alarm, alarm);
    for (const { address, certificate_ends_at } of broker.listeners) {
        if (!certificate_ends_at) continue;
        const left = (new Date(certificate_ends_at) - Date.now()) / 1000;
        if (left <= 0) tell("bad", o.certificateEnded(address), o.certificateMore);
        else if (left < 21 * 86_400) tell("warn", o.certificate(address, span(left)), o.certificateMore);
    }
    if (!broker.reload.succeeded) tell("warn", o.reloadFailed, o.reloadFailedMore);
    if (drops > 0) {
        const list = worst?.length && html` ${worst.map((client, at) => html`${at > 0 && ", "}<a href=${`#/clients/${encodeURIComponent(client.client_id)}`}><${Text}>${client.client_id}<//></a> (${count(client.dropped)})`)}`;
        tell("warn", o.drops(drops), html`${o.dropsMore}${list}`);
    }
    return told;
};

const Conditions = ({ broker, drops }) => {
    const worst = useAsk((signal) => (drops > 0 ? get("clients", { sort: "-dropped", limit: 3, fields: "client_id,dropped" }, signal) : null), drops > 0, 10_000);
    const told = conditions(broker, drops, worst.data?.data?.filter(({ dropped }) => dropped > 0));
    if (!told.length) return html`<${Notice} kind="good" title=${t.overview.well}>${broker.persistence === "none" ? t.overview.memoryOnlyMore : t.overview.wellMore}<//>`;
    return told.map(({ kind, title, more }) => html`<${Notice} kind=${kind} title=${title}>${more}<//>`);
};

const First = ({ broker }) => {
    const plain = broker.listeners.map(({ address }) => /^(?:(tcp|mqtt):\/\/)?(.*):(\d+)$/.exec(address)).find((found) => found);
    const host = !plain || ["0.0.0.0", "[::]"].includes(plain[2]) ? location.hostname : plain[2].replace(/[[\]]/g, "");
    const port = plain?.[3] ?? 1883;
    const at = `-h ${host} -p ${port}`;
    return html`<${Card} title=${t.overview.first}><div class="stack">
        <p class="soft">${t.overview.firstMore}</p>
        <div class="two">
            <div class="field"><span>${t.overview.subscribe}</span><${Code} text=${`mosquitto_sub ${at} -t '#' -v`} /></div>
            <div class="field"><span>${t.overview.publish}</span><${Code} text=${`mosquitto_pub ${at} -t hello -m world`} /></div>
        </div>
        <div class="field"><span>${t.overview.python}</span><${Code} text=${`import paho.mqtt.publish as publish\npublish.single("hello", "world", hostname="${host}", port=${port})`} /></div>
        <p class="row soft">${t.overview.browser} <a class="button is-first" href="#/client">${t.overview.openClient}</a></p>
    </div><//>`;
};

// One line for an event of the broker.
export const Event = ({ event }) => {
    const { type, client_id, user, topic, filter, network, peer, reason, condition, name } = event;
    const what = topic ?? filter ?? condition ?? name ?? (type === "ban" ? network ?? (client_id ? "" : user) : "");
    const kind = { connect: "good", disconnect: /DISCONNECT/.test(reason) ? "" : "warn", drop: "bad", will: "warn", refuse: "warn", ban: "warn", bridge_up: "good", bridge_down: "bad" }[type] ?? "";
    return html`<li><time>${hour(new Date(event.at))}</time><span class=${`dot ${kind ? `is-${kind}` : ""}`}></span><span class="grow">
        ${client_id && html`<a href=${`#/clients/${encodeURIComponent(client_id)}`}><${Text}>${client_id.slice(0, 120)}<//></a> `}
        <span class="soft">${t.events.types[type] ?? type}</span> ${what && html`<${Text} mono>${what.slice(0, 300)}<//>`}
        ${(type === "connect" || type === "refuse") && peer && html`<span class="soft"> ${t.events.from} ${peer}</span>`}
        ${reason && html`<span class="soft"> (<${Text}>${reason}<//>)</span>`}</span></li>`;
};

const Events = () => {
    const [all, set] = useState([]);
    useLive({ events: true }, { events: ({ data }) => data.length && set((before) => [...data.slice(-12).reverse(), ...before].slice(0, 12)) });
    return html`<${Card} bare title=${t.overview.events}>${all.length ? html`<ul class="events">${all.map((event) => html`<${Event} event=${event} />`)}</ul>` : html`<${Empty} title=${t.overview.noEvents}><p>${t.overview.noEventsMore}</p><//>`}<//>`;
};

const Listeners = ({ all }) => html`<${Card} bare title=${t.overview.listeners}><div class="scroll"><table class="is-list"><thead><tr><th>${t.overview.address}</th><th>${t.overview.certificateEnds}</th></tr></thead><tbody>
    ${all.map(({ address, certificate_ends_at }) => html`<tr><td class="is-title"><${Text} mono>${address}<//></td><td class=${certificate_ends_at ? "" : "is-nothing"} data-name=${t.overview.certificateEnds}>${when(certificate_ends_at)}</td></tr>`)}</tbody></table></div><//>`;

export const Page = () => {
    const all = useHistory();
    const { data: broker, error } = useAsk((signal) => get("broker", {}, signal), "", 5000);
    if (error && !broker) return html`<${Failure} error=${error} />`;
    if (!broker || !all) return html`<p class="soft">${t.loading}</p>`;
    const drops = all.messages_dropped.reduce((sum, n) => sum + n, 0);
    const isNew = last(all.connected) === 0 && broker.connected === 0;
    return html`<${Head} title=${t.overview.title} sub=${t.overview.sub(broker.version, since(broker.started_at))} /><div class="stack">
        <${Conditions} broker=${broker} drops=${drops} />
        <${Tiles} all=${all} />
        ${isNew && html`<${First} broker=${broker} />`}
        <${Charts} all=${all} />
        <div class="two"><${Events} /><${Listeners} all=${broker.listeners} /></div>
    </div>`;
};
