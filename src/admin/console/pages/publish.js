// Publish: a message with all its fields; saved messages; repetition every n seconds; waiting for an answer.
import { html, useEffect, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { post } from "../api.js";
import { useLive } from "../live.js";
import { Area, Badge, Button, Card, Check, Empty, Failure, Field, Head, Input, Select, Tabs, Text, doing, useKept } from "../ui.js";
import { bytes, fromBase64, fromHex, payloadOf, short, toBase64 } from "../format.js";
import { Payload } from "../payload.js";
import { NO_PROPERTIES, PropertyFields, correlationOf, propertiesOf } from "../properties.js";

const EMPTY = { topic: "", form: "text", payload: "", qos: "0", retain: false, ...NO_PROPERTIES };
const LARGEST = 700_000;

// The message that a form describes, or what is wrong with it.
const message = (form, file) => {
    const p = t.publish;
    const wrong = {};
    if (!form.topic || /[+#\0]/.test(form.topic)) wrong.topic = p.wrongTopic;
    const body = { topic: form.topic, qos: Number(form.qos), retain: form.retain };
    if (form.form === "text") body.payload = form.payload;
    else if (form.form === "json") {
        try {
            JSON.parse(form.payload);
            body.payload = form.payload;
        } catch (error) {
            wrong.payload = p.wrongJson(error.message);
        }
    } else if (form.form === "hex") {
        const data = fromHex(form.payload);
        if (data) body.payload_base64 = toBase64(data);
        else wrong.payload = p.wrongHex;
    } else if (form.form === "base64") {
        try {
            body.payload_base64 = toBase64(fromBase64(form.payload.trim()));
        } catch {
            wrong.payload = p.wrongBase64;
        }
    } else if (file) body.payload_base64 = toBase64(file.data);
    else wrong.payload = p.chooseFile;
    if ((body.payload ?? body.payload_base64 ?? "").length > LARGEST) wrong.payload = p.tooLarge;
    if (correlationOf(form) === null) wrong.correlation = p.wrongHex;
    const properties = propertiesOf(form);
    if (Object.keys(properties).length) body.properties = properties;
    return { body, wrong, is: Object.keys(wrong).length === 0 };
};

export const Page = ({ id }) => {
    const p = t.publish;
    const [form, set] = useKept("publish", EMPTY);
    const [file, setFile] = useState(null);
    const [every, setEvery] = useState("5");
    const [repeats, setRepeats] = useState(null);
    const [waits, setWaits] = useState(false);
    const [answers, setAnswers] = useState([]);
    const [told, setTold] = useState(null);
    const [tried, setTried] = useState(false);
    const on = (name) => (value) => set({ ...form, [name]: value });
    useEffect(() => {
        if (id) set({ ...form, topic: id });
    }, [id]);
    const { body, wrong, is } = message(form, file);
    const send = async () => {
        try {
            setTold({ ...(await post("publish", body)) });
            return true;
        } catch (error) {
            setTold({ error });
            return false;
        }
    };
    useLive(waits && form.response_topic ? { watch: form.response_topic } : null, {
        watch: ({ data }) => setAnswers((before) => [...data.slice(-20).reverse(), ...before].slice(0, 20)),
    });
    const latest = useRef(send);
    latest.current = send;
    useEffect(() => {
        if (repeats === null) return undefined;
        const timer = setInterval(async () => {
            const sent = await latest.current();
            setRepeats((n) => (n === null || !sent ? null : n + 1));
        }, Math.max(0.1, Number(every) || 1) * 1000);
        return () => clearInterval(timer);
    }, [repeats === null, every]);
    const submit = (event) => {
        event.preventDefault();
        setTried(true);
        if (is) send();
    };
    const choose = async (event) => {
        const [chosen] = event.target.files;
        if (chosen) setFile({ name: chosen.name, data: new Uint8Array(await chosen.arrayBuffer()) });
    };
    const show = (name) => (tried || (name === "payload" && form.payload) ? wrong[name] : null);
    return html`<${Head} title=${p.title} sub=${p.sub} /><div class="split">
        <${Card} label=${p.title}><form class="form" onSubmit=${submit} novalidate>
            <${Field} label=${p.topic} error=${show("topic")}><${Input} mono value=${form.topic} onInput=${on("topic")} placeholder="home/lamp/set" aria-invalid=${String(Boolean(show("topic")))} /><//>
            <div class="row"><${Tabs} label=${p.form} value=${form.form} onInput=${on("form")} options=${Object.entries(p.forms)} /></div>
            ${form.form === "file"
                ? html`<${Field} label=${p.chooseFile} error=${show("payload")} hint=${file && `${file.name}, ${bytes(file.data.length)}`}><input type="file" class="input" onChange=${choose} /><//>`
                : html`<${Field} label=${p.payload} error=${show("payload")}><${Area} value=${form.payload} onInput=${on("payload")} aria-invalid=${String(Boolean(show("payload")))} /><//>`}
            <div class="row"><${Tabs} label=${p.qos} value=${form.qos} onInput=${on("qos")} options=${["0", "1", "2"].map((n) => [n, t.qos(n)])} /><${Check} checked=${form.retain} onInput=${on("retain")} label=${p.retain} /></div>
            <details open=${Boolean(body.properties) || waits}><summary>${p.properties}</summary><div class="form inset">
                <${PropertyFields} form=${form} on=${on} />
                <${Check} checked=${waits} onInput=${setWaits} label=${`${p.wait} ${p.waitMore}`} />
            </div></details>
            <div class="row"><button class="button is-first">${p.send}</button><span class="grow"></span>
                <span class="soft">${p.every}</span><input class="input narrow" type="number" min="0.1" step="any" aria-label=${`${p.every} ${p.seconds}`} value=${every} onInput=${(e) => setEvery(e.target.value)} /><span class="soft">${p.seconds}</span>
                <${Button} disabled=${!is && repeats === null} onClick=${() => setRepeats(repeats === null ? 0 : null)}>${repeats === null ? p.start : p.stop}<//></div>
            <div role="status">${repeats !== null && html`<p class="soft">${p.repeating(repeats)}</p>`}${told && (told.error ? html`<${Failure} error=${told.error} />` : html`<p><${Badge} kind="good">${p.sent(told.subscribers)}<//></p>`)}</div>
        </form><//>
        <div class="stack">
            ${waits && form.response_topic && html`<${Card} title=${p.answers}>${answers.length ? html`<div class="stack">${answers.map((one) => html`<${Payload} data=${payloadOf(one)} topic=${one.topic} />`)}</div>` : html`<p class="soft">${p.noAnswer}</p>`}<//>`}
            <${Saved} form=${form} use=${set} />
        </div>
    </div>`;
};

const Saved = ({ form, use }) => {
    const p = t.publish;
    const [saved, set] = useKept("saved", []);
    const [name, setName] = useState("");
    const save = (event) => {
        event.preventDefault();
        set([...saved.filter((one) => one.name !== name), { name: name || form.topic, form: { ...form, payload: form.payload.slice(0, 100_000) } }]);
        setName("");
    };
    return html`<${Card} bare title=${p.saved}>
        <form class="row padded" onSubmit=${save}><div class="grow"><${Input} value=${name} onInput=${setName} placeholder=${p.saveName} aria-label=${p.saveName} /></div><button class="button" disabled=${!form.topic}>${p.save}</button></form>
        ${saved.length ? html`<ul class="events">${saved.map((one) => html`<li><span class="grow"><strong><${Text}>${one.name}<//></strong><br /><span class="soft"><${Text} mono>${short(one.form.topic, 80)}<//></span></span><${Button} small onClick=${() => use(one.form)}>${p.load}<//><${Button} small kind="plain" icon="trash" aria-label=${`${p.delete} ${one.name}`} onClick=${() => set(saved.filter((other) => other !== one))} /></li>`)}</ul>` : html`<${Empty} title=${p.noSaved}><p>${p.noSavedMore}</p><//>`}
    <//>`;
};
