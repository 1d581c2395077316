// Bans: clients, users and networks that are refused before any login.
import { html, useState } from "../kit.js";
import { t } from "../texts.js";
import { get, post, remove } from "../api.js";
import { Button, Card, Empty, Failure, Field, Head, Input, Select, Text, doing, useAsk } from "../ui.js";
import { when } from "../format.js";

export const Page = () => {
    const b = t.bans;
    const { data, error, again } = useAsk((signal) => get("bans", { limit: 1000 }, signal), "", 10_000);
    const [form, set] = useState({ kind: "client_id", what: "", for: "1h", reason: "" });
    const on = (name) => (value) => set({ ...form, [name]: value });
    const add = async (event) => {
        event.preventDefault();
        const body = { [form.kind]: form.what, reason: form.reason, ...(form.for ? { for: form.for } : {}) };
        if (await doing(() => post("bans", body), ({ closed }) => b.done(closed))) {
            set({ ...form, what: "" });
            again();
        }
    };
    const end = async ({ client_id, user, network }) => {
        await doing(() => remove("bans", { client_id, user, network }), b.ended);
        again();
    };
    const rows = data?.data ?? [];
    const target = ({ client_id, user, network }) => [client_id && [b.kinds.client_id, client_id], user && [b.kinds.user, user], network && [b.kinds.network, network]].filter(Boolean);
    return html`<${Head} title=${b.title} /><div class="stack"><${Failure} error=${error} /><div class="split wide-left">
        <${Card} bare label=${b.title}>${data && !rows.length ? html`<${Empty} title=${b.none}><p>${b.noneMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${b.what}</th><th>${b.reason}</th><th>${b.by}</th><th>${b.until}</th><th><span class="hide-text">${b.end}</span></th></tr></thead><tbody>
            ${rows.map((one) => html`<tr><td class="is-title wide">${target(one).map(([kind, text]) => html`<div><span class="soft">${kind}</span> <${Text}>${text.slice(0, 200)}<//></div>`)}</td><td class="wide" data-name=${b.reason}><${Text}>${one.reason}<//></td><td data-name=${b.by}><${Text}>${one.by}<//></td><td data-name=${b.until}>${one.until ? when(one.until) : html`<span class="soft">${b.always}</span>`}</td><td class="num"><${Button} small onClick=${() => end(one)}>${b.end}<//></td></tr>`)}</tbody></table></div>`}<//>
        <${Card} title=${b.add}><form class="form" onSubmit=${add}>
            <${Field} label=${b.kind}><${Select} value=${form.kind} onInput=${on("kind")} options=${Object.entries(b.kinds)} /><//>
            <${Field} label=${b.kinds[form.kind]}><${Input} value=${form.what} onInput=${on("what")} required placeholder=${form.kind === "network" ? "192.0.2.0/24" : ""} /><//>
            <${Field} label=${b.lasts} hint=${b.lastsMore}><${Input} value=${form.for} onInput=${on("for")} placeholder="1h" /><//>
            <${Field} label=${b.reason}><${Input} value=${form.reason} onInput=${on("reason")} /><//>
            <div class="row"><button class="button is-bad is-first">${b.go}</button></div></form><//></div></div>`;
};
