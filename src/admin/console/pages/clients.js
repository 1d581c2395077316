// Clients: a table with search, filters and sorting; one client in detail.
import { html, useEffect, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { get, id as inPath, may, post, remove, server } from "../api.js";
import { useLive } from "../live.js";
import { Badge, Button, Card, Empty, Failure, Field, Head, Input, Select, Tabs, Text, confirm, doing, useAsk } from "../ui.js";
import { bytes, count, seconds, since, span, when } from "../format.js";

export const Page = ({ id }) => (id === null ? html`<${List} />` : html`<${One} id=${id} key=${id} />`);

const COLUMNS = ["client_id", "user", "protocol", "peer", "subscriptions", "queued", "inflight", "received_messages", "sent_messages", "dropped", "connected_at"];
const SORTED = ["subscriptions", "queued", "inflight", "received_messages", "sent_messages", "dropped", "connected_at"];
const HAVING = { any: {}, queued: { queued_min: 1 }, dropped: { dropped_min: 1 }, inflight: { inflight_min: 1 } };
const PAGE = 100;

const later = (value, time) => {
    const [now, set] = useState(value);
    useEffect(() => {
        const timer = setTimeout(() => set(value), time);
        return () => clearTimeout(timer);
    }, [value]);
    return now;
};

const List = () => {
    const [prefix, setPrefix] = useState("");
    const [user, setUser] = useState("");
    const [state, setState] = useState("connected");
    const [protocol, setProtocol] = useState("");
    const [having, setHaving] = useState("any");
    const [sort, setSort] = useState("");
    const [pages, setPages] = useState(1);
    const search = later(prefix, 200);
    const name = later(user, 200);
    const key = JSON.stringify([search, name, state, protocol, having, sort, pages]);
    const fetched = useAsk(async (signal) => {
        const query = { state, protocol, prefix: search, user: name, fields: [...COLUMNS, "connected"].join(","), ...HAVING[having] };
        if (sort) return { ...(await get("clients", { ...query, sort, limit: Math.min(PAGE * pages, 1000) }, signal)), sorted: true };
        const all = { data: [], next: null };
        for (let page = 0; page < pages; page += 1) {
            const { data, next } = await get("clients", { ...query, limit: PAGE, cursor: all.next ?? undefined }, signal);
            all.data.push(...data);
            all.next = next;
            if (!next) break;
        }
        return all;
    }, key, 5000);
    // one that comes or goes is seen at once
    const waits = useRef(null);
    useLive({ events: true }, {
        events: ({ data }) => {
            if (!data.some(({ type }) => type === "connect" || type === "disconnect") || waits.current) return;
            waits.current = setTimeout(() => {
                waits.current = null;
                fetched.again();
            }, 400);
        },
    });
    const broker = useAsk((signal) => get("broker", {}, signal), "", 5000);
    const by = (column) => setSort(sort === `-${column}` ? column : sort === column ? "" : `-${column}`);
    const { data, error } = fetched;
    // what pages read with is shown to those who look for it
    const rows = (data?.data ?? []).filter(({ client_id }) => search.startsWith("$") || !client_id.startsWith("$http-"));
    const c = t.clients;
    const isFiltered = search || name || protocol || having !== "any" || state !== "connected";
    return html`<${Head} title=${c.title} sub=${broker.data && c.count(broker.data.connected)} /><div class="stack">
        <div class="toolbar">
            <${Input} type="search" value=${prefix} onInput=${setPrefix} placeholder=${c.search} aria-label=${c.search} />
            <${Input} type="search" class="input is-short" value=${user} onInput=${setUser} placeholder=${c.user} aria-label=${c.user} />
            <${Tabs} label=${c.state} value=${state} onInput=${setState} options=${Object.entries(c.states)} />
            <${Select} aria-label=${c.protocol} value=${protocol} onInput=${setProtocol} options=${[["", c.anyProtocol], ["5", t.versions[5]], ["3.1.1", t.versions["3.1.1"]], ["3.1", t.versions["3.1"]]]} />
            <${Select} aria-label=${c.having} value=${having} onInput=${setHaving} options=${Object.entries(c.havings)} />
        </div>
        <${Failure} error=${error} />
        <${Card} bare label=${c.title}>
            ${rows.length === 0 && data
                ? html`<${Empty} title=${isFiltered ? c.none : c.nobody}><p>${isFiltered ? c.noneMore : html`<a href="#/overview">${t.nav.overview}</a>: ${c.nobodyMore}`}</p><//>`
                : html`<div class="scroll"><table class="is-list"><thead><tr>${COLUMNS.map((column) => html`<${Column} column=${column} sort=${sort} by=${by} />`)}</tr></thead>
                    <tbody>${rows.map((client) => html`<${Row} client=${client} key=${client.client_id} />`)}</tbody></table></div>`}
            ${(data?.next || (data?.sorted && rows.length === PAGE * pages && rows.length < 1000)) && html`<div class="more"><${Button} onClick=${() => setPages(pages + 1)}>${t.more}<//></div>`}
        <//>
    </div>`;
};

const Column = ({ column, sort, by }) => {
    const isNumber = SORTED.includes(column);
    const name = t.clients.columns[column];
    if (!isNumber) return html`<th>${name}</th>`;
    const way = sort === `-${column}` ? "descending" : sort === column ? "ascending" : undefined;
    return html`<th class="num" aria-sort=${way}><button onClick=${() => by(column)}>${name}${way && html`<span aria-hidden="true">${way === "descending" ? "↓" : "↑"}</span>`}</button></th>`;
};

const Row = ({ client }) => {
    const c = t.clients.columns;
    const number = (name, bad) => html`<td class=${`num ${client[name] ? "" : "is-nothing"} ${bad && client[name] ? "bad" : ""}`} data-name=${c[name]}>${count(client[name])}</td>`;
    return html`<tr>
        <td class="is-title wide"><span class="row"><span class=${`dot ${client.connected ? "is-good" : ""}`}></span><a class="grow" href=${`#/clients/${inPath(client.client_id)}`}><${Text}>${client.client_id.slice(0, 200)}<//></a></span></td>
        <td data-name=${c.user}>${client.user ? html`<${Text}>${client.user.slice(0, 200)}<//>` : html`<span class="soft">${t.clients.anonymous}</span>`}</td>
        <td data-name=${c.protocol}>${client.protocol}</td>
        <td data-name=${c.peer}><span class="mono">${client.peer ?? "–"}</span></td>
        ${number("subscriptions")}${number("queued")}${number("inflight")}${number("received_messages")}${number("sent_messages")}${number("dropped", true)}
        <td class="num" data-name=${c.connected_at}>${client.connected ? span((Date.now() - new Date(client.connected_at)) / 1000) : html`<span class="soft">${t.clients.away}</span>`}</td>
    </tr>`;
};

const One = ({ id }) => {
    const o = t.oneClient;
    const path = `clients/${inPath(id)}`;
    const client = useAsk((signal) => get(path, {}, signal), id, 2000);
    const subscriptions = useAsk((signal) => get(`${path}/subscriptions`, { limit: 1000 }, signal), id, 5000);
    const queue = useAsk((signal) => (may("operator") ? get(`${path}/queue`, { limit: 50 }, signal) : null), id, 5000);
    const inflight = useAsk((signal) => (may("operator") ? get(`${path}/inflight`, { limit: 50 }, signal) : null), id, 5000);
    const { data, error } = client;
    const kick = async () => {
        if (!(await confirm({ title: o.kickTitle, text: o.kickText(id.slice(0, 200)), yes: o.kick, bad: true }))) return;
        await doing(() => remove(path), o.kicked(id.slice(0, 200)));
        client.again();
    };
    const ban = async () => {
        if (!(await confirm({ title: t.bans.banTitle, text: t.bans.banText(id.slice(0, 200)), yes: t.bans.ban, bad: true }))) return;
        await doing(() => post("bans", { client_id: id, for: "1h" }), ({ closed }) => t.bans.done(closed));
        client.again();
    };
    const end = async () => {
        if (!(await confirm({ title: o.endTitle, text: o.endText(id.slice(0, 200)), yes: o.end, bad: true }))) return;
        await doing(() => remove(path, { session: "end" }), o.ended(id.slice(0, 200)));
        client.again();
    };
    if (error?.status === 404) return html`<${Head} title=${html`<${Text}>${id.slice(0, 200)}<//>`} /><${Empty} title=${o.gone}><p>${o.goneMore}</p><p><a href="#/clients">${o.back}</a></p><//>`;
    if (!data) return html`<${Failure} error=${error} />`;
    return html`<${Head} title=${html`<${Text}>${id.slice(0, 200)}<//>`} sub=${html`<${Badge} kind=${data.connected ? "good" : ""}>${data.connected ? o.connected : o.away}<//>`}>
        <a class="button" href="#/clients">${o.back}</a>
        ${may("operator") && server.routes.has("traces") && html`<a class="button" href=${`#/traces/of/${encodeURIComponent(id)}`}>${t.traces.ofClient}</a>`}
        ${may("operator") && html`${data.connected && html`<${Button} kind="bad" onClick=${kick}>${o.kick}<//>`}<${Button} kind="bad" onClick=${end}>${o.end}<//>${server.routes.has("bans") && html`<${Button} kind="bad" onClick=${ban}>${t.bans.ban}<//>`}`}
    <//><div class="stack">
        <${Facts} data=${data} />
        <div class="two">
            <div class="stack">
                <${Subscriptions} all=${subscriptions.data?.data} />
                <${Drops} data=${data} />
                ${data.will && html`<${Will} will=${data.will} />`}
            </div>
            <div class="stack">
                ${may("operator") && html`<${Rights} client=${data} />
                <${Waiting} title=${o.queue} none=${o.noQueue} all=${queue.data} names=${["topic", "qos", "size", "expires_at"]} />
                <${Waiting} title=${o.inflight} none=${o.noInflight} all=${inflight.data} names=${["packet_id", "stage", "topic", "size"]} />`}
            </div>
        </div>
    </div>`;
};

const Facts = ({ data }) => {
    const n = t.oneClient.names;
    const facts = [
        ["user", data.user ? html`<${Text}>${data.user.slice(0, 300)}<//>` : t.clients.anonymous],
        ["protocol", data.protocol],
        ["peer", data.peer],
        ["listener", data.listener],
        ["connected_at", data.connected_at && html`${when(data.connected_at)} <span class="soft">(${since(data.connected_at)})</span>`],
        ["last_packet_at", data.last_packet_at && t.ago(since(data.last_packet_at))],
        ["keep_alive", data.keep_alive !== null && span(data.keep_alive)],
        ["received_messages", data.received_messages !== null && `${count(data.received_messages)} · ${bytes(data.received_bytes)}`],
        ["sent_messages", data.sent_messages !== null && `${count(data.sent_messages)} · ${bytes(data.sent_bytes)}`],
        ["kept", data.kept ? t.yes : t.no],
        ["session_expiry", data.session_expiry !== null && data.session_expiry < 4_294_967_295 && span(data.session_expiry)],
        ["ends_at", data.ends_at && when(data.ends_at)],
        ["queued", `${count(data.queued)} · ${bytes(data.queued_bytes)}`],
        ["inflight", count(data.inflight)],
    ];
    return html`<${Card} label=${t.oneClient.facts}><dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${n[name]}</dt><dd>${value}</dd></div>`)}</dl><//>`;
};

const Subscriptions = ({ all }) => {
    const o = t.oneClient;
    const options = (one) => [one.no_local && o.no_local, one.retain_as_published && o.retain_as_published].filter(Boolean).join(", ");
    return html`<${Card} bare title=${o.subscriptions}>${all?.length
        ? html`<div class="scroll"><table><thead><tr><th>${o.columns.filter}</th><th class="num">${o.columns.qos}</th><th>${o.columns.options}</th></tr></thead><tbody>
            ${all.map((one) => html`<tr><td class="wide"><${Text} mono>${one.filter.slice(0, 500)}<//></td><td class="num">${one.qos}</td><td class="soft">${options(one)}</td></tr>`)}</tbody></table></div>`
        : html`<${Empty} title=${o.noSubscriptions} />`}<//>`;
};

const Drops = ({ data }) => {
    const o = t.oneClient;
    const told = Object.entries(o.dropped).filter(([name]) => data[name] > 0);
    return html`<${Card} title=${o.drops}>${told.length ? html`<dl class="facts">${told.map(([name, text]) => html`<div><dt>${text}</dt><dd class="bad">${count(data[name])}</dd></div>`)}</dl>` : html`<p class="soft">${o.noDrops}</p>`}<//>`;
};

const Will = ({ will }) => html`<${Card} title=${t.oneClient.will}><div class="stack">
    <p><${Text} mono>${will.topic}<//> <${Badge}>${t.qos(will.qos)}<//> ${will.retain && html`<${Badge} kind="accent">${t.topics.retained}<//>`} <span class="soft">${bytes(will.size)}</span></p>
    ${will.payload !== undefined && html`<div class="value-box"><${Text}>${will.payload.slice(0, 5000)}<//></div>`}
</div><//>`;

const Waiting = ({ title, none, all, names }) => {
    const c = t.oneClient.columns;
    const cell = { topic: (v) => v && html`<${Text} mono>${v.slice(0, 300)}<//>`, size: (v) => (v === null ? "" : bytes(v)), expires_at: (v) => (v ? when(v) : ""), stage: (v) => v };
    const isNumber = (name) => ["qos", "size", "packet_id"].includes(name);
    return html`<${Card} bare title=${title}>${all?.data.length
        ? html`<div class="scroll"><table><thead><tr>${names.map((name) => html`<th class=${isNumber(name) ? "num" : ""}>${c[name]}</th>`)}</tr></thead><tbody>
            ${all.data.map((one) => html`<tr>${names.map((name) => html`<td class=${isNumber(name) ? "num" : ""}>${(cell[name] ?? String)(one[name])}</td>`)}</tr>`)}</tbody></table></div>${all.next && html`<div class="more soft">…</div>`}`
        : html`<${Empty} title=${none} />`}<//>`;
};

const Rights = ({ client }) => {
    const o = t.oneClient;
    const [way, setWay] = useState("publish");
    const [topic, setTopic] = useState("");
    const [told, set] = useState(null);
    const ask = async (event) => {
        event.preventDefault();
        try {
            set(await get("explain", { user: client.user ?? undefined, client: client.client_id, [way]: topic }));
        } catch (error) {
            set({ error });
        }
    };
    return html`<${Card} title=${o.rights}><form class="form" onSubmit=${ask}>
        <p class="soft">${o.rightsMore}</p>
        <div class="row"><${Tabs} label=${o.rights} value=${way} onInput=${setWay} options=${[["publish", o.publish], ["subscribe", o.subscribe]]} />
        <div class="grow"><${Input} mono value=${topic} onInput=${setTopic} placeholder="a/b" aria-label=${way === "publish" ? t.publish.topic : t.client.filter} required /></div>
        <button class="button">${o.ask}</button></div>
        ${told?.error && html`<${Failure} error=${told.error} />`}
        ${told && !told.error && html`<p><${Badge} kind=${told.allowed ? "good" : "bad"}>${told.allowed ? o.allowed : o.denied}<//> <${Text}>${told.because}<//></p>`}
    </form><//>`;
};
