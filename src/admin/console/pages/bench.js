// Under `dunlin test`: the faults with their hits, and the clock.
import { html, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { Badge, Button, Card, Empty, Failure, Field, Head, Input, Select, Text, doing, useAsk } from "../ui.js";
import { count, short, when } from "../format.js";

const MOST = 200;

// A request below /test/v1/, which only this kind of broker has.
const test = async (method, path, body, signal) => {
    const response = await fetch(`test/v1/${path}`, { method, body: body && JSON.stringify(body), headers: body && { "Content-Type": "application/json" }, signal, credentials: "same-origin" });
    const told = await response.json();
    if (!response.ok) throw new Error(told.detail);
    return told;
};

export const Page = () => {
    const c = t.bench;
    const last = useRef({ number: 0, hits: [] });
    const { data, error, again } = useAsk(
        async (signal) => {
            const [clock, faults, presets] = await Promise.all(["clock", "faults", "presets"].map((path) => test("GET", path, undefined, signal)));
            for (;;) {
                const { data, last: number } = await test("GET", `events?after=${last.current.number}`, undefined, signal);
                last.current.number = number;
                last.current.hits = [...data.filter(({ event }) => event === "fault").reverse(), ...last.current.hits].slice(0, MOST);
                if (!data.length) break;
            }
            return { clock, faults: faults.data, presets: presets.data };
        },
        "",
        2000,
    );
    return html`<${Head} title=${c.title} /><p class="soft lead">${c.sub}</p><div class="stack"><${Failure} error=${error} />${data && html`<div class="split wide-left"><div class="stack"><${Faults} rows=${data.faults} again=${again} /><${Hits} rows=${last.current.hits} /></div><div class="stack"><${Clock} clock=${data.clock} again=${again} /><${Presets} presets=${data.presets} again=${again} /></div></div>`}</div>`;
};

const Faults = ({ rows, again }) => {
    const c = t.bench;
    const end = async (query) => {
        await doing(() => test("DELETE", `faults${query}`), c.removed);
        again();
    };
    return html`<${Card} bare title=${c.faults} actions=${rows.length > 1 && html`<${Button} small onClick=${() => end("")}>${c.removeAll}<//>`}>${!rows.length ? html`<${Empty} title=${c.noFaults}><p>${c.noFaultsMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${c.does}</th><th>${c.name}</th><th class="num">${c.hitCount}</th><th><span class="hide-text">${c.remove}</span></th></tr></thead><tbody>
        ${rows.map((one) => html`<tr key=${one.id}><td class="is-title">${one.id} <${Badge} kind="warn">${one.does}<//></td><td data-name=${c.name}><${Text}>${one.name ?? "–"}<//></td><td class="num" data-name=${c.hitCount}>${count(one.hits)}</td><td class="num"><${Button} small aria-label=${`${c.remove} ${one.id}`} onClick=${() => end(`?id=${one.id}`)}>${c.remove}<//></td></tr>`)}</tbody></table></div>`}<//>`;
};

const Hits = ({ rows }) => {
    const c = t.bench;
    return html`<${Card} bare title=${c.hits}>${rows.length ? html`<ul class="events">${rows.map((one) => html`<li key=${one.n}><time>${one.at.slice(11, 23)}</time><${Badge} kind="warn">${one.fault}<//><span class="grow"><${Text} mono>${short(one.client ?? "–", 100)}<//> ${one.packet ?? ""} <span class="soft"><${Text}>${short(one.topic ?? "", 200)}<//></span></span></li>`)}</ul>` : html`<${Empty} title=${c.noHits} />`}<//>`;
};

const Clock = ({ clock, again }) => {
    const c = t.bench;
    const [by, setBy] = useState("1h");
    const turn = async (body) => {
        await doing(() => test("POST", "clock", body));
        again();
    };
    const go = (event) => {
        event.preventDefault();
        turn({ advance: by });
    };
    return html`<${Card} title=${c.clock} actions=${html`<${Button} small icon=${clock.paused ? "play" : "pause"} onClick=${() => turn(clock.paused ? { resume: true } : { pause: true })}>${clock.paused ? c.resume : c.pause}<//>`}>
        <p><strong>${when(clock.now)}</strong></p><p class="soft">${c.advanced(clock.advanced)}</p>
        <form class="form" onSubmit=${go}><${Field} label=${c.advance} hint=${c.advanceMore}><${Input} value=${by} onInput=${setBy} required /><//><div class="row"><button class="button is-first">${c.go}</button></div></form><//>`;
};

const Presets = ({ presets, again }) => {
    const c = t.bench;
    const [preset, setPreset] = useState(presets[0].name);
    const [client, setClient] = useState("");
    const go = async (event) => {
        event.preventDefault();
        await doing(() => test("POST", "faults", { preset, ...(client && { client }) }), c.isSet);
        again();
    };
    return html`<${Card} title=${c.set}><form class="form" onSubmit=${go}>
        <${Field} label=${c.preset} hint=${presets.find(({ name }) => name === preset).about}><${Select} value=${preset} onInput=${setPreset} options=${presets.map(({ name }) => [name, name])} /><//>
        <${Field} label=${c.client} hint=${c.clientMore}><${Input} value=${client} onInput=${setClient} /><//>
        <div class="row"><button class="button is-first">${c.setNow}</button></div></form><//>`;
};
