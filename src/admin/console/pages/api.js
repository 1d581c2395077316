// Shows the API's document.
import { html, useState } from "../kit.js";
import { t } from "../texts.js";
import { get } from "../api.js";
import { Badge, Card, Code, Failure, Head, Input, useAsk } from "../ui.js";

export const Page = () => {
    const [text, setText] = useState("");
    const { data, error } = useAsk((signal) => get("openapi.json", {}, signal), "");
    const a = t.api;
    const routes = Object.entries(data?.paths ?? {}).flatMap(([path, verbs]) => Object.entries(verbs).map(([verb, one]) => ({ path, verb: verb.toUpperCase(), ...one })));
    const small = text.toLowerCase();
    const rows = routes.filter(({ path, verb, summary }) => `${verb} ${path} ${summary ?? ""}`.toLowerCase().includes(small));
    return html`<${Head} title=${a.title} sub=${a.sub}><a class="button" href="api/v1/openapi.json" target="_blank" rel="noopener">${a.document}</a><//><div class="stack">
        <div class="toolbar"><${Input} type="search" value=${text} onInput=${setText} placeholder=${a.search} aria-label=${a.search} /></div>
        <${Failure} error=${error} />
        <${Card} bare label=${a.title}><div class="routes">${rows.map((one) => html`<${Route} one=${one} key=${one.verb + one.path} base=${data.servers?.[0]?.url ?? ""} />`)}</div><//></div>`;
};

const KINDS = { GET: "good", POST: "accent", PUT: "accent", DELETE: "bad" };

const Route = ({ one, base }) => {
    const parameters = one.parameters ?? [];
    const path = `${base}${one.path}`.replace(/\/{2,}/g, "/");
    const method = one.verb === "GET" ? "" : `-X ${one.verb} `;
    return html`<details><summary><${Badge} kind=${KINDS[one.verb]}>${one.verb}<//> <code>${path}</code> <span class="soft">${one.summary ?? one.description}</span></summary><div class="inset stack">
        ${parameters.length > 0 && html`<div class="scroll"><table><thead><tr><th>${t.api.parameters}</th><th></th></tr></thead><tbody>${parameters.map(({ name, description, required }) => html`<tr><td><code>${name}</code> ${required && html`<${Badge}>${t.api.required}<//>`}</td><td>${description}</td></tr>`)}</tbody></table></div>`}
        <div class="field"><span>${t.api.example}</span><${Code} text=${`curl ${method}'${location.origin}${path}'`} /></div></div></details>`;
};
