// The configuration in force, reloading it, checking another one.
import { html, useState } from "../kit.js";
import { t } from "../texts.js";
import { ask, get, may, post } from "../api.js";
import { Area, Badge, Button, Card, Check, Empty, Failure, Head, Input, Notice, Text, doing, toast, useAsk } from "../ui.js";
import { lines } from "../format.js";

export const Page = () => {
    const s = t.settings;
    const [changes, setChanges] = useState(null);
    const sees = may("admin");
    const all = useAsk((signal) => (sees ? get("config", {}, signal) : null), changes);
    const reload = async () => {
        const told = await doing(() => post("reload"), ({ changes }) => s.reloaded(changes.length));
        if (told) setChanges(told.changes);
    };
    return html`<${Head} title=${s.title}>${may("operator") && html`<${Button} icon="refresh" onClick=${reload}>${s.reload}<//>`}<//><div class="stack">
        ${changes?.length > 0 && html`<${Card} title=${s.reloaded(changes.length)}><ul>${changes.map((one) => html`<li><code><${Text} mono>${one}<//></code></li>`)}</ul><//>`}
        ${sees ? html`<${Failure} error=${all.error} />${all.data && html`<${Keys} all=${all.data.data} />`}<${Checking} />` : html`<${Card}><${Empty} title=${s.needsAdmin}><p>${s.needsAdminMore}</p><//><//>`}
    </div>`;
};

const Keys = ({ all }) => {
    const s = t.settings;
    const [text, setText] = useState("");
    const [set, setSet] = useState(false);
    const rows = all.filter(({ key, from }) => key.includes(text.trim()) && (!set || from));
    return html`<div class="toolbar"><${Input} type="search" value=${text} onInput=${setText} placeholder=${s.search} aria-label=${s.search} /><${Check} checked=${set} onInput=${setSet} label=${s.changed} /></div>
        <${Card} bare label=${s.title}><div class="scroll"><table class="is-list"><thead><tr><th>${s.columns.key}</th><th>${s.columns.value}</th><th>${s.columns.from}</th></tr></thead><tbody>
        ${rows.map(({ key, value, from }) => html`<tr key=${key}><td class="is-title"><code>${key}</code></td><td class="wide" data-name=${s.columns.value}><${Text} mono>${value}<//></td><td data-name=${s.columns.from}>${from ? html`<${Badge} kind="accent"><${Text}>${from}<//><//>` : html`<span class="soft">${s.fromDefault}</span>`}</td></tr>`)}</tbody></table></div><//>`;
};

const Checking = () => {
    const s = t.settings;
    const [text, setText] = useState("");
    const [told, set] = useState(null);
    const go = async (event) => {
        event.preventDefault();
        try {
            set(await (await ask("POST", "config/check", { text })).json());
        } catch (error) {
            toast(error.message, "bad");
        }
    };
    return html`<${Card} title=${s.check}><form class="form" onSubmit=${go}><p class="soft">${s.checkMore}</p><${Area} value=${text} onInput=${setText} aria-label=${s.check} required /><div class="row"><button class="button">${s.checkGo}</button></div>
        ${told && html`<${Notice} kind=${told.ok ? "good" : "bad"} title=${told.ok ? s.ok : s.bad}>${told.ok ? (told.changes.length ? html`<ul>${told.changes.map((one) => html`<li><${Text} mono>${one}<//></li>`)}</ul>` : s.noChanges) : lines(told.error)}<//>`}</form><//>`;
};
