// Users, access rules, and keys of programs: edits of the files that the configuration names.
import { html, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { ask, get, id as inPath, post, put, remove, server } from "../api.js";
import { Area, Badge, Button, Card, Code, Empty, Failure, Field, Head, Input, Notice, Select, Tabs, Text, confirm, doing, toast, useAsk } from "../ui.js";
import { when } from "../format.js";
import { Difference } from "../payload.js";

const PARTS = { users: () => html`<${Users} />`, rules: () => html`<${Rules} />`, keys: () => html`<${Keys} />` };

export const Page = () => {
    const u = t.users;
    const parts = ["users", "rules", "keys"].filter((route) => server.routes.has(route));
    const [part, setPart] = useState(parts[0]);
    return html`<${Head} title=${u.title}><${Tabs} label=${u.title} value=${part} onInput=${setPart} options=${parts.map((route) => [route, u[route]])} /><//>${PARTS[part]()}`;
};

// A file that is not named is not a fault.
const NotThere = ({ error }) => (error?.status === 409 ? html`<${Card}><${Empty} title=${t.users.notConfigured}><p><${Text}>${error.message}<//></p><//><//>` : html`<${Failure} error=${error} />`);

const Users = () => {
    const u = t.users;
    const { data, error, again } = useAsk((signal) => get("users", { limit: 1000 }, signal), "");
    const [name, setName] = useState("");
    const [password, setPassword] = useState("");
    const set = async (event) => {
        event.preventDefault();
        if (await doing(() => put(`users/${inPath(name)}`, { password }), u.saved(name))) {
            setName("");
            setPassword("");
            again();
        }
    };
    const secret = useRef(null);
    const change = (user) => {
        setName(user);
        secret.current?.querySelector("input[type=password]").focus();
    };
    const drop = async (user) => {
        if (!(await confirm({ title: u.deleteTitle, text: u.deleteText(user), yes: u.delete, bad: true }))) return;
        await doing(() => remove(`users/${inPath(user)}`), u.deleted(user));
        again();
    };
    if (error && !data) return html`<${NotThere} error=${error} />`;
    const rows = data?.data ?? [];
    return html`<div class="split wide-left">
        <${Card} bare label=${u.users}>${data && !rows.length ? html`<${Empty} title=${u.none}><p>${u.noneMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${u.name}</th><th>${u.stored}</th><th>${u.role}</th><th><span class="hide-text">${u.delete}</span></th></tr></thead><tbody>
            ${rows.map((one) => html`<tr key=${one.name}><td class="is-title wide"><${Text}>${one.name}<//></td><td class="soft" data-name=${u.stored}>${one.stored}</td><td data-name=${u.role}>${one.role ? html`<${Badge} kind="accent">${one.role}<//>` : html`<span class="soft">–</span>`}</td><td class="num"><${Button} small onClick=${() => change(one.name)} aria-label=${u.changePassword(one.name)}>${u.change}<//> <${Button} small kind="plain" icon="trash" aria-label=${`${u.delete} ${one.name}`} onClick=${() => drop(one.name)} /></td></tr>`)}</tbody></table></div>`}<//>
        <${Card} title=${u.add}><form class="form" onSubmit=${set} ref=${secret}><p class="soft">${u.addMore}</p>
            <${Field} label=${u.name}><${Input} value=${name} onInput=${setName} required autocomplete="off" /><//><${Field} label=${u.password}><${Input} type="password" value=${password} onInput=${setPassword} required autocomplete="new-password" /><//>
            <div class="row"><button class="button is-first">${u.save}</button></div></form><//></div>`;
};

const Rules = () => {
    const u = t.users;
    const { data, error, again } = useAsk((signal) => get("rules", {}, signal), "");
    const [text, setText] = useState(null);
    const [rule, setRule] = useState({ for: "user", user: "", access: "readwrite", filter: "" });
    const on = (name) => (value) => setRule({ ...rule, [name]: value });
    const add = async (event) => {
        event.preventDefault();
        const { for: whom, user, access, filter } = rule;
        if (await doing(() => put("rules", whom === "user" ? { user, access, filter } : { for: whom, access, filter }), u.ruleSaved)) again();
    };
    const drop = async ({ for: whom, user, filter }) => {
        if (await doing(() => remove("rules", user ? { user, filter } : { for: whom, filter }), u.ruleDeleted)) again();
    };
    // the version that the text was made from: another writer's is not overwritten unseen
    const [version, setVersion] = useState(null);
    const [changed, setChanged] = useState(false);
    const edit = (next) => {
        if (text === null) setVersion(data.version);
        setText(next);
    };
    const leave = () => {
        setText(null);
        setChanged(false);
        again();
    };
    const save = async (over) => {
        try {
            await ask("PUT", "rules", { body: { text }, headers: { "If-Match": over ? "*" : `"${version}"` } });
            toast(u.rulesSaved);
            leave();
        } catch (error) {
            if (error.code === "changed") {
                setChanged(true);
                again();
            } else toast(error.message, "bad");
        }
    };
    if (error && !data) return html`<${NotThere} error=${error} />`;
    if (!data) return null;
    const whom = (one) => (one.user ? html`<${Text}>${one.user}<//>` : html`<span class="soft">${u.whom[one.for] ?? one.for}</span>`);
    return html`<div class="stack"><div class="split wide-left">
        <${Card} bare label=${u.rules}>${data.rules.length ? html`<div class="scroll"><table class="is-list"><thead><tr><th>${u.who}</th><th>${u.access}</th><th>${u.filter}</th><th class="num">${u.line}</th><th><span class="hide-text">${u.delete}</span></th></tr></thead><tbody>
            ${data.rules.map((one) => html`<tr><td class="is-title">${whom(one)}</td><td data-name=${u.access}><${Badge} kind=${one.access === "deny" ? "bad" : "good"}>${one.access}<//></td><td class="wide" data-name=${u.filter}><${Text} mono>${one.filter}<//></td><td class="num soft" data-name=${u.line}>${one.line}</td><td class="num"><${Button} small kind="plain" icon="trash" aria-label=${`${u.delete} ${one.filter}`} onClick=${() => drop(one)} /></td></tr>`)}</tbody></table></div>` : html`<${Empty} title=${u.noRules}><p>${u.noRulesMore}</p><//>`}<//>
        <${Card} title=${u.addRule}><form class="form" onSubmit=${add}>
            <${Field} label=${u.who}><${Select} value=${rule.for} onInput=${on("for")} options=${Object.entries(u.whom)} /><//>
            ${rule.for === "user" && html`<${Field} label=${u.name}><${Input} value=${rule.user} onInput=${on("user")} required /><//>`}
            <${Field} label=${u.access}><${Select} value=${rule.access} onInput=${on("access")} options=${["read", "write", "readwrite", "deny"].map((one) => [one, one])} /><//>
            <${Field} label=${u.filter}><${Input} mono value=${rule.filter} onInput=${on("filter")} required placeholder="home/#" /><//>
            <div class="row"><button class="button is-first">${u.save}</button></div></form><//></div>
        <${Explain} />
        <${Card} title=${u.text} actions=${text !== null && html`<${Button} small onClick=${leave}>${t.cancel}<//><${Button} small kind="first" onClick=${() => save(false)}>${u.save}<//>`}><div class="stack">
            ${changed && html`<${Notice} kind="bad" title=${u.changed}>${u.changedMore} <span class="row"><${Button} small onClick=${leave}>${u.takeTheirs}<//><${Button} small kind="bad" onClick=${() => save(true)}>${u.saveOver}<//></span><//>`}
            ${changed && html`<div class="field"><span>${u.theirs}</span><${Difference} before=${data.text} after=${text} /></div>`}
            <${Area} value=${text ?? data.text} onInput=${edit} aria-label=${u.text} rows="14" /></div><//></div>`;
};

// May this client do this? The broker is asked, and says which rule it is.
const Explain = () => {
    const u = t.users;
    const o = t.oneClient;
    const [form, set] = useState({ user: "", client: "", way: "publish", topic: "" });
    const [told, setTold] = useState(null);
    const on = (name) => (value) => (set({ ...form, [name]: value }), setTold(null));
    const go = async (event) => {
        event.preventDefault();
        try {
            setTold(await get("explain", { user: form.user, client: form.client, [form.way]: form.topic }));
        } catch (error) {
            setTold({ error });
        }
    };
    return html`<${Card} title=${u.explain}><form class="form" onSubmit=${go}><p class="soft">${u.explainMore}</p>
        <div class="cols"><${Field} label=${u.explainUser}><${Input} value=${form.user} onInput=${on("user")} placeholder=${t.clients.anonymous} /><//>
            <${Field} label=${t.client.id}><${Input} value=${form.client} onInput=${on("client")} /><//>
            <${Field} label=${form.way === "publish" ? t.publish.topic : t.client.filter}><${Input} mono value=${form.topic} onInput=${on("topic")} required placeholder="home/lamp" /><//></div>
        <div class="row"><${Tabs} label=${u.explain} value=${form.way} onInput=${on("way")} options=${[["publish", o.publish], ["subscribe", o.subscribe]]} /><button class="button">${o.ask}</button></div>
        <div role="status">${told?.error ? html`<${Failure} error=${told.error} />` : told && html`<p><${Badge} kind=${told.allowed ? "good" : "bad"}>${told.allowed ? o.allowed : o.denied}<//> <${Text}>${told.because}<//></p>`}</div>
    </form><//>`;
};

const Keys = () => {
    const u = t.users;
    const { data, error, again } = useAsk((signal) => get("keys", {}, signal), "");
    const [form, set] = useState({ name: "", role: "viewer", expires: "90d" });
    const [made, setMade] = useState(null);
    const on = (name) => (value) => set({ ...form, [name]: value });
    const add = async (event) => {
        event.preventDefault();
        const key = await doing(() => post("keys", { name: form.name, role: form.role, ...(form.expires ? { expires: form.expires } : {}) }));
        if (key) {
            setMade(key);
            again();
        }
    };
    const drop = async (name) => {
        if (!(await confirm({ title: u.keyTitle, text: u.keyText(name), yes: u.delete, bad: true }))) return;
        await doing(() => remove("keys", { name }), u.deleted(name));
        again();
    };
    if (error && !data) return html`<${NotThere} error=${error} />`;
    const rows = data?.data ?? [];
    return html`<div class="split wide-left"><div class="stack">
        ${made && html`<${Card} title=${u.made(made.name)}><p class="soft">${u.madeMore}</p><${Code} text=${made.key} /><//>`}
        <${Card} bare label=${u.keys}>${data && !rows.length ? html`<${Empty} title=${u.noKeys}><p>${u.noKeysMore}</p><//>` : html`<div class="scroll"><table class="is-list"><thead><tr><th>${u.name}</th><th>${u.role}</th><th>${u.expires}</th><th><span class="hide-text">${u.delete}</span></th></tr></thead><tbody>
            ${rows.map((one) => html`<tr key=${one.name}><td class="is-title"><${Text}>${one.name}<//></td><td data-name=${u.role}><${Badge} kind="accent">${one.role}<//></td><td data-name=${u.expires}>${one.expires_at ? html`<span class=${one.expired ? "bad" : ""}>${when(one.expires_at)}</span>` : html`<span class="soft">${t.retained.never}</span>`}</td><td class="num"><${Button} small kind="plain" icon="trash" aria-label=${`${u.delete} ${one.name}`} onClick=${() => drop(one.name)} /></td></tr>`)}</tbody></table></div>`}<//></div>
        <${Card} title=${u.addKey}><form class="form" onSubmit=${add}>
            <${Field} label=${u.name}><${Input} value=${form.name} onInput=${on("name")} required /><//><${Field} label=${u.role}><${Select} value=${form.role} onInput=${on("role")} options=${["viewer", "operator", "admin"].map((one) => [one, one])} /><//>
            <${Field} label=${u.lasts}><${Input} value=${form.expires} onInput=${on("expires")} placeholder="90d" /><//>
            <div class="row"><button class="button is-first">${u.save}</button></div></form><//></div>`;
};
