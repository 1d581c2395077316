// Bridges to other brokers, webhooks, file sinks and login services.
import { html } from "../kit.js";
import { t } from "../texts.js";
import { get, id, may, post } from "../api.js";
import { Badge, Button, Card, Empty, Failure, Head, Text, doing, useAsk } from "../ui.js";
import { count, short, when } from "../format.js";

export const Page = () => {
    const c = t.links;
    const { data, error, again } = useAsk(async (signal) => ({ bridges: (await get("bridges", {}, signal)).data, webhooks: (await get("webhooks", {}, signal)).data, sinks: (await get("sinks", {}, signal)).data, logins: (await get("logins", {}, signal)).data }), "", 3000);
    return html`<${Head} title=${c.title} /><div class="stack"><${Failure} error=${error} />${data && html`<${Bridges} rows=${data.bridges} again=${again} /><${Webhooks} rows=${data.webhooks} />${data.sinks.length > 0 && html`<${Sinks} rows=${data.sinks} />`}${data.logins.length > 0 && html`<${Logins} rows=${data.logins} />`}`}</div>`;
};

const KINDS = { connected: "good", working: "good", paused: "warn", failing: "bad", stopped: "bad" };

const State = ({ state, error, at }) => html`<${Badge} kind=${KINDS[state] ?? (error ? "bad" : "warn")}>${t.links.states[state] ?? state}<//>${error && html`<div class="soft"><${Text}>${short(error, 300)}<//>${at && html` (${when(at)})`}</div>`}`;

const Numbers = ({ counters, names }) => names.map((name) => html`<td class="num" data-name=${t.links.counters[name]}>${count(counters[name] ?? 0)}</td>`);

const heads = (names) => names.map((name) => html`<th class="num">${t.links.counters[name]}</th>`);

const Bridges = ({ rows, again }) => {
    const c = t.links;
    const names = ["queued", "sent", "received", "failures"];
    const turn = async ({ name, state }) => {
        const isPaused = state === "paused";
        await doing(() => post(`bridges/${id(name)}/${isPaused ? "resume" : "pause"}`), (isPaused ? c.resumed : c.paused)(name));
        again();
    };
    return html`<${Card} bare title=${c.bridges}>${!rows.length ? html`<${Empty} title=${c.noBridges}><p>${c.noBridgesMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${c.name}</th><th>${c.state}</th>${heads(names)}<th><span class="hide-text">${c.actions}</span></th></tr></thead><tbody>
        ${rows.map((one) => html`<tr key=${one.name}><td class="is-title"><${Text}>${one.name}<//><div class="soft"><${Text} mono>${one.address}<//></div></td><td class="wide" data-name=${c.state}><div><${State} state=${one.state} error=${one.error} at=${one.error_at} /></div></td><${Numbers} counters=${one.counters} names=${names} />
            <td class="num">${may("operator") && html`<${Button} small icon=${one.state === "paused" ? "play" : "pause"} onClick=${() => turn(one)}>${one.state === "paused" ? c.resume : c.pause}<//>`}</td></tr>`)}</tbody></table></div>`}<//>`;
};

const Webhooks = ({ rows }) => {
    const c = t.links;
    const names = ["queued", "sent", "failed", "dropped", "lost"];
    return html`<${Card} bare title=${c.webhooks}>${!rows.length ? html`<${Empty} title=${c.noWebhooks}><p>${c.noWebhooksMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${c.name}</th><th>${c.state}</th>${heads(names)}</tr></thead><tbody>
        ${rows.map((one) => html`<tr key=${one.name}><td class="is-title"><${Text}>${one.name}<//><div class="soft"><${Text} mono>${one.url}<//></div></td><td class="wide" data-name=${c.state}><div><${State} state=${one.state} error=${one.error} at=${one.error_at} /></div></td><${Numbers} counters=${one.counters} names=${names} /></tr>`)}</tbody></table></div>`}<//>`;
};

const Sinks = ({ rows }) => {
    const c = t.links;
    const names = ["queued", "written", "failed", "rotated", "lost"];
    return html`<${Card} bare title=${c.sinks}><div class="scroll"><table class="is-list"><thead><tr><th>${c.name}</th><th>${c.state}</th>${heads(names)}</tr></thead><tbody>
        ${rows.map((one) => html`<tr key=${one.name}><td class="is-title"><${Text}>${one.name}<//><div class="soft"><${Text} mono>${one.file}<//></div></td><td class="wide" data-name=${c.state}><div><${State} state=${one.state} error=${one.error} at=${one.error_at} /></div></td><${Numbers} counters=${one.counters} names=${names} /></tr>`)}</tbody></table></div><//>`;
};

const Logins = ({ rows }) => {
    const c = t.links;
    const names = ["waiting", "requests", "failed", "cache_hits"];
    return html`<${Card} bare title=${c.logins}><div class="scroll"><table class="is-list"><thead><tr><th>${c.name}</th><th>${c.state}</th>${heads(names)}</tr></thead><tbody>
        ${rows.map((one) => html`<tr key=${one.name}><td class="is-title">${one.kind === "http" ? html`<${Text}>${one.name}<//>` : c.kinds[one.kind]}<div class="soft"><${Text} mono>${one.url}<//></div></td><td class="wide" data-name=${c.state}><div><${State} state=${one.state} error=${one.error} at=${one.error_at} /></div></td><${Numbers} counters=${one.counters} names=${names} /></tr>`)}</tbody></table></div><//>`;
};
