// Sessions of away clients, and the clients that disconnected last.
import { html, useState } from "../kit.js";
import { t } from "../texts.js";
import { get, id as inPath, may, remove } from "../api.js";
import { Button, Card, Empty, Failure, Head, Text, confirm, doing, useAsk } from "../ui.js";
import { bytes, count, when } from "../format.js";

const COLUMNS = ["user", "subscriptions", "queued", "queued_bytes", "inflight", "dropped"];

export const Page = () => {
    const s = t.sessions;
    const [limit, setLimit] = useState(100);
    const sessions = useAsk((signal) => get("clients", { state: "away", sort: "-queued", limit }, signal), limit, 5000);
    const closed = useAsk((signal) => get("closed-clients", { limit: 50 }, signal), "", 5000);
    const end = async (client) => {
        const shown = client.slice(0, 200);
        if (!(await confirm({ title: t.oneClient.endTitle, text: t.oneClient.endText(shown), yes: t.oneClient.end, bad: true }))) return;
        await doing(() => remove(`clients/${inPath(client)}`, { session: "end" }), t.oneClient.ended(shown));
        sessions.again();
    };
    const rows = sessions.data?.data ?? [];
    const cell = (one, name) => {
        if (name === "user") return html`<td data-name=${s.columns.user}>${one.user ? html`<${Text}>${one.user.slice(0, 200)}<//>` : html`<span class="soft">${t.clients.anonymous}</span>`}</td>`;
        return html`<td class=${`num ${name === "dropped" && one.dropped ? "bad" : ""}`} data-name=${s.columns[name]}>${name === "queued_bytes" ? bytes(one[name]) : count(one[name])}</td>`;
    };
    return html`<${Head} title=${s.title} sub=${s.sub} /><div class="stack">
        <${Failure} error=${sessions.error} />
        <${Card} bare label=${s.title}>${sessions.data && !rows.length
            ? html`<${Empty} title=${s.none}><p>${s.noneMore}</p><//>`
            : html`<div class="scroll"><table class="is-list"><thead><tr><th>${s.columns.client_id}</th>${COLUMNS.map((name) => html`<th class=${name === "user" ? "" : "num"}>${s.columns[name]}</th>`)}<th>${s.columns.ends_at}</th><th><span class="hide-text">${s.end}</span></th></tr></thead><tbody>
                ${rows.map((one) => html`<tr key=${one.client_id}><td class="is-title wide"><a href=${`#/clients/${inPath(one.client_id)}`}><${Text}>${one.client_id.slice(0, 200)}<//></a></td>${COLUMNS.map((name) => cell(one, name))}
                    <td data-name=${s.columns.ends_at}>${one.ends_at ? when(one.ends_at) : html`<span class="soft">${s.never}</span>`}</td><td class="num">${may("operator") && html`<${Button} small kind="bad" onClick=${() => end(one.client_id)}>${s.end}<//>`}</td></tr>`)}</tbody></table></div>`}
            ${rows.length === limit && limit < 1000 && html`<div class="more"><${Button} onClick=${() => setLimit(1000)}>${t.more}<//></div>`}<//>
        <${Card} bare title=${s.closed}>${closed.data && !closed.data.data.length
            ? html`<${Empty} title=${s.noClosed} />`
            : html`<div class="scroll"><table class="is-list"><thead><tr><th>${s.at}</th><th>${s.columns.client_id}</th><th>${s.columns.user}</th><th>${t.clients.columns.protocol}</th><th>${s.reason}</th></tr></thead><tbody>
                ${(closed.data?.data ?? []).map((one) => html`<tr><td class="soft" data-name=${s.at}>${when(one.closed_at)}</td><td class="wide" data-name=${s.columns.client_id}><${Text}>${one.client_id.slice(0, 200)}<//></td><td data-name=${s.columns.user}>${one.user ? html`<${Text}>${one.user.slice(0, 100)}<//>` : html`<span class="soft">${t.clients.anonymous}</span>`}</td><td data-name=${t.clients.columns.protocol}>${one.protocol}</td><td class="wide" data-name=${s.reason}><${Text}>${one.reason}<//></td></tr>`)}</tbody></table></div>`}<//>
    </div>`;
};
