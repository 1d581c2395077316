// The frame around the pages: navigation, login, colours.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./kit.js";
import { t } from "./texts.js";
import { learnRoutes, login, logout, may, server, session, whenLoggedOut, whoami } from "./api.js";
import { useLiveState } from "./live.js";
import { Button, Empty, Failure, Field, Icon, Input, Questions, Tabs, Toasts, useKept } from "./ui.js";

// Each page: where it stands in the way between them, what loads it, the least role that sees it, and the route that it
// needs.
const PAGES = [
    ["overview", "broker", () => import("./pages/overview.js")],
    ["clients", "broker", () => import("./pages/clients.js")],
    ["topics", "broker", () => import("./pages/topics.js")],
    ["messages", "broker", () => import("./pages/messages.js"), "operator"],
    ["publish", "broker", () => import("./pages/publish.js"), "operator"],
    ["retained", "broker", () => import("./pages/retained.js"), "operator"],
    ["sessions", "broker", () => import("./pages/sessions.js")],
    ["record", "broker", () => import("./pages/record.js"), "operator"],
    ["traces", "broker", () => import("./pages/traces.js"), "operator", "traces"],
    ["client", "client", () => import("./pages/client.js")],
    ["users", "admin", () => import("./pages/users.js"), "admin", "keys"],
    ["links", "admin", () => import("./pages/links.js"), "viewer", "bridges"],
    ["bench", "admin", () => import("./pages/bench.js"), "viewer", "test"],
    ["bans", "admin", () => import("./pages/bans.js"), "operator", "bans"],
    ["log", "admin", () => import("./pages/log.js")],
    ["settings", "admin", () => import("./pages/settings.js"), "operator"],
    ["api", "admin", () => import("./pages/api.js")],
];

const isShown = ([, , , role, route]) => (!role || may(role)) && (!route || server.routes.has(route));

// "#/clients/a%2Fb" is the page "clients" of "a/b".
const where = () => {
    const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
    const decode = (part) => {
        try {
            return decodeURIComponent(part);
        } catch {
            return part;
        }
    };
    return { name: name || "overview", id: rest.length ? decode(rest.join("/")) : null };
};

const Nav = ({ now, open, close }) => {
    const groups = [...new Set(PAGES.map(([, group]) => group))];
    const items = (group) => PAGES.filter((page) => page[1] === group && isShown(page));
    return html`<nav class=${`side ${open ? "is-open" : ""}`} id="nav" aria-label=${t.menu}>
        <a class="brand" href="#/overview"><${Logo} />${t.product}</a>
        ${groups.map((group) => items(group).length > 0 && html`<h2>${t.groups[group]}</h2>${items(group).map(([name]) => html`<a class="nav" href=${`#/${name}`} aria-current=${now === name ? "page" : undefined} onClick=${close}><${Icon} name=${name} />${t.nav[name]}</a>`)}`)}
        <div class="foot"><${State} /><${Theme} /><${Who} /></div>
    </nav>`;
};

const Logo = () => html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#0d6b66" /><path d="M4 13.5 10 11c1.300-2.600 3.600-4 6.200-4 3.200 0 5 2 7 4.600 1.600 2.200 3 3.400 5.300 4.400-2.700 3.200-6 5-9.700 5-4.600 0-8-2.900-8.800-7.300z" fill="#fff" /><circle cx="14" cy="10.800" r="1.100" fill="#0d6b66" /><path d="M17 20.500v5M20.500 20v4" stroke="#fff" stroke-width="1.400" stroke-linecap="round" /></svg>`;

const State = () => {
    const state = useLiveState();
    if (state === "idle") return null;
    const kind = { open: "good", lost: "warn", refused: "bad" }[state];
    return html`<div class="row soft" role="status"><span class=${`dot is-${kind}`}></span>${t.live[state]}</div>`;
};

const Theme = () => {
    const root = document.documentElement;
    const [now, set] = useState(root.dataset.theme);
    const choose = (theme) => {
        root.dataset.theme = theme;
        try {
            localStorage.setItem("dunlin.theme", theme);
        } catch {
            // it holds until the page closes
        }
        set(theme);
        window.dispatchEvent(new Event("dunlin-theme"));
    };
    const options = [["system", "system"], ["light", "sun"], ["dark", "moon"]];
    return html`<${Tabs} label=${t.theme} value=${now} onInput=${choose} options=${options.map(([key, icon]) => [key, html`<${Icon} name=${icon} />`, t.themes[key]])} />`;
};

const Who = () =>
    session.open
        ? html`<span class="soft">${t.login.open}</span>`
        : html`<div class="row"><span class="grow cut" title=${session.user}><bdi>${session.user}</bdi> <span class="soft">${session.role}</span></span><${Button} kind="plain" icon="out" aria-label=${t.login.out} title=${t.login.out} onClick=${logout} /></div>`;

const Login = ({ done, error: first }) => {
    const [form, set] = useState({ user: "", password: "", key: "" });
    const [byKey, setByKey] = useState(false);
    const [error, setError] = useState(first);
    const [busy, setBusy] = useState(false);
    const on = (name) => (value) => set({ ...form, [name]: value });
    const go = async (event) => {
        event.preventDefault();
        setBusy(true);
        try {
            await login(byKey ? { key: form.key } : { user: form.user, password: form.password });
            done();
        } catch (problem) {
            setError(problem);
            setBusy(false);
        }
    };
    return html`<main class="login"><form class="card" onSubmit=${go}>
        <h1 class="brand"><${Logo} />${t.product}</h1>
        ${byKey
            ? html`<${Field} label=${t.login.key}><${Input} type="password" value=${form.key} onInput=${on("key")} required autofocus /><//>`
            : html`<${Field} label=${t.login.user}><${Input} name="user" autocomplete="username" value=${form.user} onInput=${on("user")} required autofocus /><//>
                <${Field} label=${t.login.password}><${Input} name="password" type="password" autocomplete="current-password" value=${form.password} onInput=${on("password")} /><//>`}
        <${Failure} error=${error} />
        <button class="button is-first" disabled=${busy}>${t.login.go}</button>
        <${Button} kind="plain" onClick=${() => setByKey(!byKey)}>${byKey ? t.login.withPassword : t.login.withKey}<//>
    </form></main>`;
};

const Page = ({ at }) => {
    const [loaded, set] = useState(null);
    const found = PAGES.find((page) => page[0] === at.name && isShown(page));
    useEffect(() => {
        set(null);
        found?.[2]().then(
            ({ Page }) => set({ Page, name: at.name }),
            (error) => set({ error, name: at.name }),
        );
        document.title = `${t.nav[at.name] ?? t.notFound} · ${t.product}`;
    }, [at.name, Boolean(found)]);
    if (!found) return html`<${Empty} title=${t.notFound}><a href="#/overview">${t.nav.overview}</a><//>`;
    if (!loaded || loaded.name !== at.name) return html`<p class="soft">${t.loading}</p>`;
    if (loaded.error) return html`<${Failure} error=${loaded.error} /><p><${Button} onClick=${() => location.reload()}>${t.reload}<//></p>`;
    return html`<${loaded.Page} id=${at.id} />`;
};

const App = () => {
    // "asks", "in", "out" or an error
    const [state, set] = useState("asks");
    const [at, go] = useState(where());
    const [open, setOpen] = useState(false);
    const main = useRef(null);
    const [, learned] = useState(0);
    useEffect(() => {
        if (state === "in") learnRoutes().then(() => learned(server.routes.size), () => {});
    }, [state]);
    const ask = () => whoami().then((is) => set(is ? "in" : "out"), set);
    useEffect(() => {
        whenLoggedOut(() => set("out"));
        const moved = () => {
            go(where());
            setOpen(false);
        };
        addEventListener("hashchange", moved);
        ask();
        return () => removeEventListener("hashchange", moved);
    }, []);
    useEffect(() => {
        if (!open) return undefined;
        const key = (event) => event.key === "Escape" && setOpen(false);
        addEventListener("keydown", key);
        document.querySelector("#nav a")?.focus();
        return () => removeEventListener("keydown", key);
    }, [open]);
    useLayoutEffect(() => main.current?.scrollTo?.(0, 0), [at.name]);
    if (state === "asks") return null;
    if (state === "out") return html`<${Login} done=${() => set("in")} /><${Toasts} />`;
    if (state !== "in") return html`<main class="login"><div class="card"><h1 class="brand"><${Logo} />${t.product}</h1><${Failure} error=${state} /><${Button} onClick=${ask}>${t.reload}<//></div></main>`;
    return html`<a class="skip" href="#main" onClick=${(e) => (e.preventDefault(), main.current.focus())}>${t.skip}</a>
        <div class="top"><${Button} kind="plain" icon="menu" aria-label=${t.menu} aria-expanded=${String(open)} aria-controls="nav" onClick=${() => setOpen(!open)} /><a class="brand" href="#/overview"><${Logo} />${t.product}</a></div>
        <div class="frame">
            ${open && html`<button class="veil" aria-label=${t.close} onClick=${() => setOpen(false)}></button>`}
            <${Nav} now=${at.name} open=${open} close=${() => setOpen(false)} />
            <main class="main" id="main" tabindex="-1" ref=${main}><${Page} at=${at} key=${at.name} /></main>
        </div><${Questions} /><${Toasts} />`;
};

render(html`<${App} />`, document.getElementById("app"));
