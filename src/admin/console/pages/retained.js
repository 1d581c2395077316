// Retained messages: a list by filter, their values, deleting them.
import { html, useState } from "../kit.js";
import { t } from "../texts.js";
import { get, remove } from "../api.js";
import { Badge, Button, Card, Empty, Failure, Head, Text, confirm, doing, useAsk } from "../ui.js";
import { bytes, payloadOf, short, shown, textOf, when } from "../format.js";
import { FilterInput } from "./topics.js";

const PAGE = 100;

export const Page = () => {
    const r = t.retained;
    const [filter, setFilter] = useState("#");
    const [wrong, setWrong] = useState(null);
    const [pages, setPages] = useState(1);
    const { data, error, again } = useAsk(async (signal) => {
        const all = { data: [], next: null };
        for (let page = 0; page < pages; page += 1) {
            const { data, next } = await get("retained", { filter, limit: PAGE, payload: "true", cursor: all.next ?? undefined }, signal);
            all.data.push(...data);
            all.next = next;
            if (!next) break;
        }
        return all;
    }, `${filter} ${pages}`, 5000);
    const deleteAll = async () => {
        const told = await doing(() => remove("retained", { filter, dry_run: "true" }));
        if (!told?.messages) return;
        if (!(await confirm({ title: t.topics.deleteTitle, text: t.topics.deleteText(told.messages, shown(filter)), yes: t.topics.deleteYes(told.messages), bad: true }))) return;
        await doing(() => remove("retained", { filter }), ({ messages }) => t.topics.deleted(messages));
        again();
    };
    const deleteOne = async (topic) => {
        await doing(() => remove("retained", { topic }), ({ messages }) => t.topics.deleted(messages));
        again();
    };
    const rows = data?.data ?? [];
    const own = rows.filter((one) => !one.own);
    return html`<${Head} title=${r.title}><${Button} kind="bad" icon="trash" disabled=${!own.length} onClick=${deleteAll}>${r.deleteAll}<//><//><div class="stack">
        <div class="toolbar"><${FilterInput} value=${filter} onInput=${(next) => (setFilter(next), setPages(1))} wrong=${setWrong} label=${r.filter} /></div>
        ${wrong && html`<p class="error">${wrong}</p>`}
        <${Failure} error=${error} />
        <${Card} bare label=${r.title}>${data && !rows.length
            ? html`<${Empty} title=${r.none}><p>${r.noneMore}</p><//>`
            : html`<div class="scroll"><table class="is-list"><thead><tr><th>${r.columns.topic}</th><th>${r.columns.payload}</th><th class="num">${r.columns.size}</th><th class="num">${r.columns.qos}</th><th>${r.columns.expires_at}</th><th><span class="hide-text">${t.publish.delete}</span></th></tr></thead><tbody>
                ${rows.map((one) => html`<tr key=${one.topic}>
                    <td class="is-title wide"><a href=${`#/topics/${encodeURIComponent(one.topic)}`}><${Text} mono>${one.topic.slice(0, 400)}<//></a></td>
                    <td class="wide" data-name=${r.columns.payload}><${Text} mono>${value(one)}<//></td>
                    <td class="num" data-name=${r.columns.size}>${bytes(one.size)}</td><td class="num" data-name=${r.columns.qos}>${one.qos}</td>
                    <td class=${one.expires_at ? "" : "soft is-nothing"} data-name=${r.columns.expires_at}>${one.expires_at ? when(one.expires_at) : r.never}</td>
                    <td class="num">${one.own ? html`<${Badge}>${r.own}<//>` : html`<${Button} small kind="plain" icon="trash" aria-label=${`${t.publish.delete} ${one.topic.slice(0, 200)}`} onClick=${() => deleteOne(one.topic)} />`}</td></tr>`)}</tbody></table></div>`}
            ${data?.next && html`<div class="more"><${Button} onClick=${() => setPages(pages + 1)}>${t.more}<//></div>`}
        <//></div>`;
};

const value = (one) => {
    if (one.payload !== undefined) return short(one.payload, 100);
    return [...payloadOf(one).subarray(0, 24)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
};
