// Client: a separate MQTT client over WebSocket, with its own login and the rights of that login.
import { html, useEffect, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { Badge, Button, Card, Check, Empty, Failure, Field, Head, Input, Notice, Area, Select, Tabs, Text, toast, useFrames, useKept } from "../ui.js";
import { bytes, hourMs, lines, matches, short, textOf } from "../format.js";
import { hexOf } from "../payload.js";
import { NO_PROPERTIES, Pairs, PropertyFields, correlationOf, pairsOfMqtt, propertiesOfMqtt, shownOfMqtt } from "../properties.js";
import { Properties, badFilter } from "./topics.js";

const MOST = 500;
const COLOURS = 6;

let loading = null;
const load = () =>
    (loading ??= new Promise((done, failed) => {
        const script = Object.assign(document.createElement("script"), { src: "vendor/mqtt.js", onload: () => done(window.mqtt), onerror: () => failed(new Error(t.failed)) });
        document.head.append(script);
    }));

// The address of MQTT at this server, also below a path of a proxy.
const address = () => new URL("mqtt", document.baseURI.replace(/#.*$/, "")).href.replace(/^http/, "ws");

const NO_WILL = { topic: "", payload: "", qos: "0", retain: false, delay: "", ...NO_PROPERTIES };
const EMPTY = { id: "", user: "", version: "5", keepAlive: "60", clean: true, expiry: "0", receive: "", largest: "", aliases: "", response: false, problem: true, properties: [], will: false, theWill: NO_WILL };

// It lives as long as the page does, also while another part of it is shown.
const state = { mqtt: null, status: "offline", subscriptions: [], talk: [], number: 0, watcher: null };
const changed = () => state.watcher?.();
const say = (entry) => {
    state.number += 1;
    state.talk.push({ number: state.number, at: Date.now(), ...entry });
    if (state.talk.length > MOST) state.talk.splice(0, state.talk.length - MOST);
    changed();
};

// What CONNECT has in MQTT 5, but for what is left to the broker.
const propertiesOf = (form) => {
    const number = (name, text) => (text === "" ? {} : { [name]: Number(text) });
    return {
        sessionExpiryInterval: Number(form.expiry) || 0,
        ...number("receiveMaximum", form.receive),
        ...number("maximumPacketSize", form.largest),
        ...number("topicAliasMaximum", form.aliases),
        ...(form.response && { requestResponseInformation: true }),
        ...(!form.problem && { requestProblemInformation: false }),
        ...pairsOfMqtt(form.properties),
    };
};

const willOf = ({ topic, payload, qos, retain, delay, ...properties }, five) => ({
    topic,
    payload,
    qos: Number(qos),
    retain,
    ...(five && { properties: { ...(delay !== "" && { willDelayInterval: Number(delay) }), ...propertiesOfMqtt(properties) } }),
});

const connect = async (form, password) => {
    await load();
    const five = form.version === "5";
    const options = {
        clientId: form.id || `console-${Math.random().toString(16).slice(2, 10)}`,
        username: form.user || undefined,
        password: form.user ? password : undefined,
        protocolVersion: five ? 5 : 4,
        keepalive: Number(form.keepAlive) || 0,
        clean: form.clean,
        reconnectPeriod: 0,
        connectTimeout: 10_000,
        // timers of a worker would need code from a blob
        timerVariant: "native",
        resubscribe: false,
    };
    if (five) options.properties = propertiesOf(form);
    if (form.will) options.will = willOf(form.theWill, five);
    const client = window.mqtt.connect(address(), options);
    state.mqtt = client;
    state.status = "connecting";
    changed();
    client.on("connect", (packet) => {
        state.status = "connected";
        say({ kind: "said", text: t.client.saidConnected(packet.properties?.assignedClientIdentifier ?? options.clientId, packet.sessionPresent) });
        const wanted = state.subscriptions;
        state.subscriptions = [];
        wanted.forEach((one) => subscribe(one));
    });
    client.on("message", (topic, payload, packet) => {
        // MQTT 5 says for which subscriptions it is
        const named = [packet.properties?.subscriptionIdentifier ?? []].flat();
        const all = state.subscriptions.filter(({ filter, identifier }) => (named.length ? named.includes(identifier) : matches(filter, topic)));
        say({ kind: "in", topic, data: new Uint8Array(payload), qos: packet.qos, retain: packet.retain, dup: packet.dup, filters: all.map(({ filter }) => filter), colour: all[0]?.colour, properties: shownOfMqtt(packet.properties) });
    });
    client.on("disconnect", ({ reasonCode, properties }) => say({ kind: "said", bad: true, text: t.client.saidDisconnect(`0x${(reasonCode ?? 0).toString(16).padStart(2, "0")}`, properties?.reasonString) }));
    // a broker that refuses it says why in its CONNACK
    let answered = false;
    client.on("error", (error) => {
        answered ||= typeof error.code === "number";
        say({ kind: "said", bad: true, text: t.client.saidError(error.message || String(error)) });
    });
    client.on("close", () => {
        if (state.mqtt !== client) return;
        client.end(true);
        state.mqtt = null;
        const was = state.status;
        state.status = "offline";
        say({ kind: "said", bad: was !== "leaving", text: t.client.saidClosed });
        // why it never began, if the server says so
        if (was === "connecting" && !answered) {
            fetch("mqtt").then((answer) => answer.json()).then(({ code, detail }) => code === "mqtt" && say({ kind: "said", bad: true, text: detail }), () => {});
        }
    });
};

const disconnect = () => {
    state.status = "leaving";
    state.mqtt?.end();
    changed();
};

const subscribe = ({ filter, qos, noLocal, rap, handling, colour }) => {
    state.number += 1;
    const identifier = state.number;
    const one = { filter, qos, noLocal, rap, handling, identifier, colour: colour ?? state.number % COLOURS };
    const five = state.mqtt.options.protocolVersion === 5;
    const options = five ? { qos: Number(qos), nl: noLocal, rap, rh: Number(handling), properties: { subscriptionIdentifier: identifier } } : { qos: Number(qos) };
    state.mqtt.subscribe(filter, options, (error, granted) => {
        const refused = error?.message ?? (granted?.[0]?.qos >= 128 ? `0x${granted[0].qos.toString(16)}` : null);
        if (refused) say({ kind: "said", bad: true, text: t.client.refused(filter, refused) });
        else {
            state.subscriptions = [...state.subscriptions.filter((other) => other.filter !== filter), one];
            say({ kind: "said", text: t.client.saidSubscribed(filter, granted?.[0]?.qos ?? qos) });
        }
    });
};

const unsubscribe = (filter) => {
    state.subscriptions = state.subscriptions.filter((one) => one.filter !== filter);
    state.mqtt?.unsubscribe(filter, () => say({ kind: "said", text: t.client.saidUnsubscribed(filter) }));
    changed();
};

export const Page = () => {
    const draw = useFrames(60);
    useEffect(() => {
        state.watcher = draw;
        return () => (state.watcher = null);
    }, []);
    const c = t.client;
    const is = state.status === "connected";
    const kind = { connected: "good", connecting: "warn", offline: "", leaving: "" }[state.status];
    return html`<${Head} title=${c.title} sub=${html`<${Badge} kind=${kind}>${c[state.status === "leaving" ? "offline" : state.status]}<//>`}>
        ${(is || state.status === "connecting") && html`<${Button} onClick=${disconnect}>${c.disconnect}<//>`}
    <//><p class="soft lead">${c.sub}</p><div class="stack">
        ${state.status === "offline" || state.status === "leaving" ? html`<${Connect} />` : null}
        <div class="split wide-left">
            <${Card} bare title=${c.talk} actions=${html`<${Button} small onClick=${() => ((state.talk = []), draw())}>${c.clear}<//>`}><${Talk} /><${Send} is=${is} /><//>
            <${Subscriptions} is=${is} />
        </div>
    </div>`;
};

const Connect = () => {
    const c = t.client;
    const [kept, set] = useKept("client", EMPTY);
    const form = { ...EMPTY, ...kept };
    const five = form.version === "5";
    const [password, setPassword] = useState("");
    const [error, setError] = useState(null);
    const on = (name) => (value) => set({ ...form, [name]: value });
    const will = form.theWill;
    const wrongWill = form.will && (!will.topic || /[+#\0]/.test(will.topic)) ? t.publish.wrongTopic : null;
    const [tried, setTried] = useState(false);
    const go = async (event) => {
        event.preventDefault();
        setError(null);
        setTried(true);
        if (wrongWill || (form.will && five && correlationOf(will) === null)) return;
        connect(form, password).catch(setError);
    };
    return html`<${Card} label=${c.connect}><form class="form" onSubmit=${go}>
        <div class="cols">
            <${Field} label=${c.id}><${Input} value=${form.id} onInput=${on("id")} placeholder="console-…" /><//>
            <${Field} label=${c.user}><${Input} value=${form.user} onInput=${on("user")} autocomplete="username" /><//>
            <${Field} label=${c.password}><${Input} type="password" value=${password} onInput=${setPassword} autocomplete="current-password" /><//>
            <${Field} label=${c.version}><${Select} value=${form.version} onInput=${on("version")} options=${[["5", t.versions[5]], ["4", t.versions["3.1.1"]]]} /><//>
        </div>
        <details><summary>${c.options}</summary><div class="form inset">
            <div class="cols">
                <${Field} label=${c.keepAlive}><${Input} type="number" min="0" max="65535" value=${form.keepAlive} onInput=${on("keepAlive")} /><//>
                <${Field} label=${c.expiry}><${Input} type="number" min="0" max="4294967295" value=${form.expiry} onInput=${on("expiry")} disabled=${!five} /><//>
                ${five && html`<${Field} label=${c.receive}><${Input} type="number" min="1" max="65535" value=${form.receive} onInput=${on("receive")} placeholder="65535" /><//>
                <${Field} label=${c.largest}><${Input} type="number" min="1" max="4294967295" value=${form.largest} onInput=${on("largest")} placeholder=${c.noLimit} /><//>
                <${Field} label=${c.aliases}><${Input} type="number" min="0" max="65535" value=${form.aliases} onInput=${on("aliases")} placeholder="0" /><//>`}
            </div>
            <div class="row wide-gap"><${Check} checked=${form.clean} onInput=${on("clean")} label=${five ? c.clean : c.cleanSession} />
                ${five && html`<${Check} checked=${form.response} onInput=${on("response")} label=${c.response} /><${Check} checked=${form.problem} onInput=${on("problem")} label=${c.problem} />`}</div>
            ${five && html`<${Pairs} pairs=${form.properties} onInput=${on("properties")} />`}
            <${Check} checked=${form.will} onInput=${on("will")} label=${c.will} />
            ${form.will && html`<${Will} will=${will} five=${five} wrong=${tried ? wrongWill : null} onInput=${on("theWill")} />`}
        </div></details>
        <${Failure} error=${error} />
        <div class="row"><button class="button is-first">${c.connect}</button><span class="soft mono cut">${address()}</span><span class="soft">${address().startsWith("wss:") ? c.secure : c.plain}</span></div>
    </form><//>`;
};

const Will = ({ will, five, wrong, onInput }) => {
    const c = t.client;
    const on = (name) => (value) => onInput({ ...will, [name]: value });
    return html`<fieldset class="will" aria-label=${c.will}><div class="form">
        <div class="cols"><${Field} label=${c.willTopic} error=${wrong}><${Input} mono value=${will.topic} onInput=${on("topic")} aria-invalid=${String(Boolean(wrong))} /><//>
            <${Field} label=${c.willPayload}><${Input} value=${will.payload} onInput=${on("payload")} /><//>
            ${five && html`<${Field} label=${c.willDelay}><${Input} type="number" min="0" max="4294967295" value=${will.delay} onInput=${on("delay")} placeholder="0" /><//>`}</div>
        <div class="row"><${Tabs} label=${c.willQos} value=${will.qos} onInput=${on("qos")} options=${["0", "1", "2"].map((n) => [n, t.qos(n)])} /><${Check} checked=${will.retain} onInput=${on("retain")} label=${t.publish.retain} /></div>
        ${five && html`<${PropertyFields} form=${will} on=${on} />`}
    </div></fieldset>`;
};

const Subscriptions = ({ is }) => {
    const c = t.client;
    const [filter, setFilter] = useState("#");
    const [qos, setQos] = useState("1");
    const [noLocal, setNoLocal] = useState(false);
    const [rap, setRap] = useState(true);
    const [handling, setHandling] = useState("0");
    const [wrong, setWrong] = useState(null);
    const five = !is || state.mqtt?.options.protocolVersion === 5;
    const go = (event) => {
        event.preventDefault();
        const problem = badFilter(filter);
        setWrong(problem);
        if (!problem) subscribe({ filter, qos, noLocal, rap, handling });
    };
    return html`<${Card} bare title=${c.subscriptions}>
        <form class="form padded" onSubmit=${go}>
            <${Field} label=${c.filter} error=${wrong}><${Input} mono value=${filter} onInput=${setFilter} disabled=${!is} /><//>
            <div class="row"><${Tabs} label=${t.publish.qos} value=${qos} onInput=${setQos} options=${["0", "1", "2"].map((n) => [n, t.qos(n)])} /><button class="button is-first" disabled=${!is}>${c.subscribe}</button></div>
            ${five && html`<div class="row wide-gap"><${Check} checked=${noLocal} onInput=${setNoLocal} label=${c.noLocal} /><${Check} checked=${rap} onInput=${setRap} label=${c.rap} />
                <${Select} aria-label=${c.handling} value=${handling} onInput=${setHandling} options=${Object.entries(c.handlings)} /></div>`}
        </form>
        ${state.subscriptions.length ? html`<ul class="events">${state.subscriptions.map((one) => html`<li class=${`c${one.colour}`}><span class="swatch"></span><span class="grow"><${Text} mono>${one.filter.slice(0, 300)}<//></span><${Badge}>${t.qos(one.qos)}<//><${Button} kind="plain" icon="close" aria-label=${`${c.remove} ${one.filter}`} onClick=${() => unsubscribe(one.filter)} /></li>`)}</ul>` : html`<${Empty} title=${t.none}><p>${c.noSubscriptions}</p><//>`}
    <//>`;
};

const Talk = () => {
    const box = useRef(null);
    const stays = useRef(true);
    useEffect(() => {
        if (stays.current && box.current) box.current.scrollTop = box.current.scrollHeight;
    });
    const scrolled = ({ target }) => (stays.current = target.scrollTop + target.clientHeight > target.scrollHeight - 40);
    const [view, setView] = useState(null);
    if (!state.talk.length) return html`<${Empty} title=${t.client.emptyTalk}><p>${t.client.emptyTalkMore}</p><//>`;
    return html`<div class="talk" ref=${box} role="log" aria-label=${t.client.talk} tabindex="0" onScroll=${scrolled}>${state.talk.map((one) => html`<${Bubble} key=${one.number} one=${one} />`)}</div>`;
};

const Bubble = ({ one }) => {
    const [hex, setHex] = useState(false);
    const text = one.data ? textOf(one.data) : null;
    if (one.kind === "said") return html`<p class=${`said ${one.bad ? "bad" : ""}`}>${hourMs(one.at).slice(0, 8)} · <${Text}>${one.text}<//></p>`;
    const isHex = hex || text === null;
    return html`<div class=${`bubble ${one.kind === "out" ? "is-own" : ""} ${one.colour !== undefined ? `c${one.colour}` : ""}`}>
        <div class="top-line"><strong><${Text}>${one.topic.slice(0, 300)}<//></strong><span>${hourMs(one.at)}</span><span>${t.qos(one.qos)}</span>${one.retain && html`<${Badge} kind="accent">${t.topics.retained}<//>`}${one.dup && html`<${Badge} kind="warn">${t.client.dup}<//>`}
            ${one.filters?.some((filter) => filter !== one.topic) && html`<span>${t.client.matching} <${Text} mono>${short(one.filters.join(", "), 200)}<//></span>`}
            ${text !== null && one.data.length > 0 && html`<button type="button" class="button is-plain is-small" aria-pressed=${String(hex)} onClick=${() => setHex(!hex)}>${t.client.hex}</button>`}</div>
        <pre class=${isHex ? "is-hex" : ""} tabindex=${isHex ? 0 : undefined}>${one.data.length === 0 ? html`<span class="soft">${t.payload.empty}</span>` : isHex ? hexOf(one.data.subarray(0, 2048)) : lines(text.slice(0, 10_000))}</pre>
        ${one.data.length > (isHex ? 2048 : 10_000) && html`<span class="soft">${bytes(one.data.length)}</span>`}
        <${Properties} all=${one.properties} />
    </div>`;
};

const NOTHING = { topic: "hello", payload: "world", qos: "0", retain: false, ...NO_PROPERTIES };

const Send = ({ is }) => {
    const c = t.client;
    const [kept, set] = useKept("client-send", NOTHING);
    const form = { ...NOTHING, ...kept };
    const five = !is || state.mqtt?.options.protocolVersion === 5;
    const on = (name) => (value) => set({ ...form, [name]: value });
    const go = (event) => {
        event.preventDefault();
        if (!form.topic || /[+#]/.test(form.topic)) return toast(t.publish.wrongTopic, "bad");
        if (five && correlationOf(form) === null) return toast(t.publish.wrongHex, "bad");
        const qos = Number(form.qos);
        const properties = five ? propertiesOfMqtt(form) : {};
        state.mqtt.publish(form.topic, form.payload, { qos, retain: form.retain, ...(five && { properties }) }, (error) => error && say({ kind: "said", bad: true, text: t.client.saidError(error.message) }));
        say({ kind: "out", topic: form.topic, data: new TextEncoder().encode(form.payload), qos, retain: form.retain, properties: shownOfMqtt(properties) });
    };
    return html`<form class="send" onSubmit=${go}>
        <div class="row"><div class="grow"><${Input} mono value=${form.topic} onInput=${on("topic")} aria-label=${c.topic} placeholder=${c.topic} /></div>
        <${Tabs} label=${t.publish.qos} value=${form.qos} onInput=${on("qos")} options=${["0", "1", "2"].map((n) => [n, n, t.qos(n)])} /><${Check} checked=${form.retain} onInput=${on("retain")} label=${t.publish.retain} /></div>
        <div class="row"><textarea class="area grow" rows="2" value=${form.payload} aria-label=${c.payload} placeholder=${c.payload} onInput=${(e) => on("payload")(e.target.value)} onKeyDown=${(e) => e.key === "Enter" && (e.ctrlKey || e.metaKey) && is && go(e)}></textarea><button class="button is-first" disabled=${!is}>${c.send}</button></div>
        ${five && html`<details><summary>${t.publish.properties}</summary><div class="form inset"><${PropertyFields} form=${form} on=${on} /></div></details>`}
    </form>`;
};
