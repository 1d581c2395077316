// Parts that several pages use.
import { html, useEffect, useRef, useState } from "./kit.js";
import { t } from "./texts.js";
import { lines, shown } from "./format.js";

const PATHS = {
    overview: "M3 13h4v7H3zM10 4h4v16h-4zM17 9h4v11h-4z",
    clients: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c.5-3.800 3-6 6.500-6s6 2.200 6.500 6M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14.500c2 .8 3.200 2.700 3.500 5.500",
    topics: "M4 5h7M4 5v14h6M4 12h6M13 9.500h7v5h-7zM13 16.500h7v5h-7zM13 2.500h7v5h-7z",
    messages: "M4 5h16v11H9l-5 4z",
    publish: "M4 12 20 4l-5 16-3.500-6.500z",
    client: "M4 7h9M4 12h6M4 17h9M16 8l4 4-4 4M20 12h-8",
    record: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
    retained: "M9 3h6l-1 6 3 3v2H7v-2l3-3zM12 14v7",
    sessions: "M4 5h16v5H4zM4 14h16v5H4zM7 7.500h.01M7 16.500h.01",
    settings: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
    log: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
    api: "M8 6 3 12l5 6M16 6l5 6-5 6",
    users: "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c.7-4.500 3.700-7 8-7s7.300 2.500 8 7",
    bans: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.600 5.600l12.800 12.800",
    traces: "M3 12h4l3-7 4 14 3-7h4",
    links: "M10 14a4 4 0 0 1 0-6l2-2a4 4 0 0 1 6 6M14 10a4 4 0 0 1 0 6l-2 2a4 4 0 0 1-6-6",
    bench: "M9 3h6M10 3v6L4 20h16L14 9V3",
    sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
    moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
    system: "M3 5h18v11H3zM9 20h6M12 16v4",
    menu: "M4 7h16M4 12h16M4 17h16",
    close: "M6 6l12 12M18 6 6 18",
    right: "M9 6l6 6-6 6",
    pin: "M9 3h6l-1 6 3 3v2H7v-2l3-3zM12 14v7",
    copy: "M9 9h11v11H9zM5 15H4V4h11v1",
    good: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8 12l3 3 5-6",
    warn: "M12 4 2.500 20h19zM12 10v4M12 17h.01",
    bad: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v6M12 16.500h.01",
    pause: "M8 5v14M16 5v14",
    play: "M7 5l12 7-12 7z",
    down: "M12 4v11M7 11l5 5 5-5M5 20h14",
    trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
    plus: "M12 5v14M5 12h14",
    refresh: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
    out: "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4",
};

export const Icon = ({ name }) => html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.800" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

// Text that others wrote: on one line, and in no way a part of the page.
export const Text = ({ children, mono, cut }) => html`<bdi class=${`${cut ? "cut" : "text"} ${mono ? "mono" : ""}`} title=${cut ? shown(children) : undefined}>${shown(children)}</bdi>`;

export const Head = ({ title, sub, children }) => html`<div class="head"><h1 tabindex="-1">${title}</h1>${sub && html`<span class="sub">${sub}</span>`}<div class="actions">${children}</div></div>`;

export const Card = ({ title, actions, children, bare, label }) => html`<section class="card" aria-label=${label ?? (typeof title === "string" ? title : undefined)}>
    ${title && html`<header><h2>${title}</h2>${actions && html`<div class="actions">${actions}</div>`}</header>`}
    ${bare ? children : html`<div class="body">${children}</div>`}
</section>`;

export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong>${children}</div>`;

export const Notice = ({ kind, title, children }) => html`<div class=${`notice is-${kind}`} role=${kind === "bad" ? "alert" : undefined}><${Icon} name=${kind} /><div class="grow"><p><strong>${title}</strong></p>${children && html`<p>${children}</p>`}</div></div>`;

export const Badge = ({ kind, children }) => html`<span class=${`badge ${kind ? `is-${kind}` : ""}`}>${children}</span>`;

export const Failure = ({ error }) => error && html`<${Notice} kind="bad" title=${error.status === 403 ? t.refused : t.failed}>${lines(error.message)}<//>`;

let nextId = 1;
export const useId = () => useRef(null).current ?? (useRef(null).current = `f${nextId++}`);

export const Field = ({ label, error, children, hint }) => html`<label class="field"><span>${label}</span>${children}${hint && !error && html`<span class="soft">${hint}</span>`}${error && html`<span class="error" role="alert">${error}</span>`}</label>`;

export const Input = ({ value, onInput, mono, ...rest }) => html`<input class=${`input ${mono ? "mono" : ""}`} value=${value} onInput=${(e) => onInput(e.target.value)} autocomplete="off" spellcheck=${false} ...${rest} />`;

export const Area = ({ value, onInput, ...rest }) => html`<textarea class="area" value=${value} onInput=${(e) => onInput(e.target.value)} spellcheck=${false} ...${rest}></textarea>`;

export const Select = ({ value, onInput, options, ...rest }) => html`<select class="select" value=${value} onChange=${(e) => onInput(e.target.value)} ...${rest}>${options.map(([key, name]) => html`<option value=${key} selected=${key === value}>${name}</option>`)}</select>`;

export const Check = ({ checked, onInput, label, ...rest }) => html`<label class="check"><input type="checkbox" checked=${checked} onChange=${(e) => onInput(e.target.checked)} ...${rest} />${label}</label>`;

export const Tabs = ({ value, onInput, options, label }) => html`<div class="tabs" role="group" aria-label=${label}>${options.map(([key, name, title]) => html`<button type="button" aria-pressed=${String(key === value)} aria-label=${title} title=${title} onClick=${() => onInput(key)}>${name}</button>`)}</div>`;

export const Button = ({ kind, icon, children, small, ...rest }) => html`<button type="button" class=${`button ${kind ? kind.split(" ").map((k) => `is-${k}`).join(" ") : ""} ${small ? "is-small" : ""}`} ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children}</button>`;

const copyText = async (text) => {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        // without TLS a browser has no clipboard for pages
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
    }
    toast(t.copied);
};

export const Copy = ({ text, small, label }) => html`<${Button} small=${small} icon="copy" onClick=${() => copyText(text)}>${label ?? t.copy}<//>`;

export const Code = ({ text }) => html`<div class="copy"><pre>${lines(text)}</pre><${Copy} text=${text} small /></div>`;

// A question before something that cannot be undone.
let askNow = null;
export const confirm = (question) => new Promise((answer) => askNow?.({ ...question, answer }));

export const Questions = () => {
    const [question, set] = useState(null);
    const dialog = useRef(null);
    askNow = set;
    useEffect(() => {
        if (question) dialog.current?.showModal();
    }, [question]);
    if (!question) return null;
    const end = (result) => {
        question.answer(result);
        set(null);
    };
    return html`<dialog ref=${dialog} aria-labelledby="question" onClose=${() => end(false)}><div class="inner">
        <h2 id="question">${question.title}</h2>
        <p class="text">${question.text}</p>
        <div class="actions"><${Button} onClick=${() => end(false)}>${t.cancel}<//><${Button} kind=${question.bad ? "bad first" : "first"} onClick=${() => end(true)}>${question.yes}<//></div>
    </div></dialog>`;
};

let toastNow = null;
export const toast = (text, kind = "good") => toastNow?.({ text: shown(text), kind, key: nextId++ });

export const Toasts = () => {
    const [all, set] = useState([]);
    toastNow = (one) => {
        set((before) => [...before.slice(-3), one]);
        setTimeout(() => set((before) => before.filter((other) => other !== one)), one.kind === "bad" ? 8000 : 3500);
    };
    return html`<div class="toasts" role="status">${all.map(({ text, kind, key }) => html`<div class="toast" key=${key}><span class=${`dot is-${kind}`}></span><span class="text">${text}</span></div>`)}</div>`;
};

// Does something and tells how it ended.
export const doing = async (what, done) => {
    try {
        const result = await what();
        if (done) toast(typeof done === "function" ? done(result) : done);
        return result;
    } catch (error) {
        toast(error.message, "bad");
        return null;
    }
};

// What a request answers, again when its key changes or after a time.
export const useAsk = (f, key, every) => {
    const [state, set] = useState({ data: null, error: null, waits: true });
    const [turn, again] = useState(0);
    useEffect(() => {
        const abort = new AbortController();
        const run = async () => {
            try {
                const data = await f(abort.signal);
                if (!abort.signal.aborted) set({ data, error: null, waits: false });
            } catch (error) {
                if (!abort.signal.aborted) set((before) => ({ data: before.data, error, waits: false }));
            }
        };
        run();
        const timer = every && setInterval(() => document.hidden || run(), every);
        return () => {
            abort.abort();
            clearInterval(timer);
        };
    }, [key, turn, every]);
    return { ...state, again: () => again((n) => n + 1) };
};

// A value that is kept in the browser.
export const useKept = (name, first) => {
    const [value, set] = useState(() => {
        try {
            return JSON.parse(localStorage.getItem(`dunlin.${name}`)) ?? first;
        } catch {
            return first;
        }
    });
    const keep = (next) =>
        set((before) => {
            const now = typeof next === "function" ? next(before) : next;
            try {
                localStorage.setItem(`dunlin.${name}`, JSON.stringify(now));
            } catch {
                // it is kept until the page closes
            }
            return now;
        });
    return [value, keep];
};

// Draws again at most so often, however often it is asked to.
export const useFrames = (every = 100) => {
    const [, set] = useState(0);
    const waits = useRef(null);
    useEffect(() => () => clearTimeout(waits.current), []);
    return () => {
        if (waits.current) return;
        waits.current = setTimeout(() => {
            waits.current = null;
            set((n) => n + 1);
        }, every);
    };
};

// A list of which only what is seen is drawn.
export const Rows = ({ rows, height, className, row, label, role, onKey, follow, active }) => {
    const box = useRef(null);
    const [top, setTop] = useState(0);
    const [seen, setSeen] = useState(600);
    useEffect(() => {
        const measure = () => box.current && setSeen(box.current.clientHeight);
        measure();
        const observer = new ResizeObserver(measure);
        observer.observe(box.current);
        return () => observer.disconnect();
    }, []);
    useEffect(() => {
        if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
    });
    useEffect(() => {
        if (active === undefined || active < 0 || !box.current) return;
        const at = active * height;
        if (at < box.current.scrollTop) box.current.scrollTop = at;
        else if (at + height > box.current.scrollTop + box.current.clientHeight) box.current.scrollTop = at + height - box.current.clientHeight;
    }, [active]);
    const from = Math.max(0, Math.floor(top / height) - 6);
    const to = Math.min(rows.length, Math.ceil((top + seen) / height) + 6);
    const all = [];
    for (let at = from; at < to; at += 1) all.push(row(rows[at], at, { top: `${at * height}px` }));
    return html`<div class=${className} ref=${box} role=${role} aria-label=${label} tabindex="0" onScroll=${(e) => setTop(e.target.scrollTop)} onKeyDown=${onKey}
        aria-activedescendant=${active >= from && active < to ? `row-${active}` : undefined}><div class="space" role="presentation" style=${{ height: `${rows.length * height}px` }}>${all}</div></div>`;
};
