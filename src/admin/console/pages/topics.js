// Topics: a live tree, and one topic with its history, the difference of its last two values, a chart of its numbers,
// and actions.
import { html, useEffect, useMemo, useRef, useState } from "../kit.js";
import { t } from "../texts.js";
import { get, may, post, remove } from "../api.js";
import { useLive } from "../live.js";
import { Badge, Button, Card, Check, Copy, Empty, Failure, Field, Head, Icon, Input, Notice, Rows, Select, Tabs, Text, Area, confirm, doing, useFrames } from "../ui.js";
import { brief, bytes, count, fromBase64, hourMs, matches, payloadOf, rate, shown, short, since, textOf, when } from "../format.js";
import { Difference, Payload, numbers } from "../payload.js";
import { Chart } from "../charts.js";

// The window over which rates are taken, in milliseconds.
const TAU = 4000;
const HISTORY = 100;

// One level of a topic.
class Node {
    constructor(name, path, parent) {
        Object.assign(this, { name, path, parent, children: null, topic: null, topics: 0, rate: 0, at: 0, open: false, count: 0 });
    }

    add(n, now) {
        for (let node = this; node; node = node.parent) {
            node.rate = node.rate * Math.exp((node.at - now) / TAU) + (n * 1000) / TAU;
            node.at = now;
            node.count += n;
        }
    }

    rateAt(now) {
        return this.rate * Math.exp((this.at - now) / TAU);
    }
}

// All topics that were told, as a tree.
export class Tree {
    constructor() {
        this.root = new Node("", null, null);
        this.byTopic = new Map();
        // changes with the levels that there are
        this.shape = 0;
    }

    at(topic) {
        let node = this.byTopic.get(topic);
        if (node) return node;
        node = this.root;
        let path = null;
        for (const name of topic.split("/")) {
            path = path === null ? name : `${path}/${name}`;
            node.children ??= new Map();
            let child = node.children.get(name);
            if (!child) {
                child = new Node(name, path, node);
                // the first levels are open while there are few of them
                child.open = this.byTopic.size < 60 && !topic.startsWith("$");
                node.children.set(name, child);
                this.shape += 1;
            }
            node = child;
        }
        this.byTopic.set(topic, node);
        for (let up = node; up; up = up.parent) up.topics += 1;
        this.shape += 1;
        return node;
    }

    take([topic, n, size, qos, retain, text, base64, client, at], now) {
        const node = this.at(topic);
        const before = node.topic;
        if (before && before.retain === undefined) node.topic = null;
        // an empty retained message takes the pin away
        const pinned = retain ? size > 0 : (before?.pinned ?? false);
        node.topic = { size, qos, retain, text, base64, client, at, pinned, number: (before?.number ?? 0) + 1 };
        // what was retained before is no message of now
        node.add(at === null ? 0 : n, now);
    }

    unpin(filter) {
        this.byTopic.forEach((node, topic) => {
            if (node.topic && matches(filter, topic)) node.topic.pinned = false;
        });
    }

    // What is open, from the top; with `found`, the topics that it finds and what leads to them.
    rows(found) {
        const rows = [];
        const kept = found && new Set();
        let hits = 0;
        if (found) {
            this.byTopic.forEach((node, topic) => {
                if (!found(topic, node)) return;
                hits += 1;
                for (let up = node; up && !kept.has(up); up = up.parent) kept.add(up);
            });
        }
        const walk = (node, depth) => {
            const all = [...node.children.values()].filter((child) => !kept || kept.has(child));
            all.sort((a, b) => (a.name.startsWith("$") - b.name.startsWith("$")) || (a.name < b.name ? -1 : 1));
            for (const child of all) {
                const isOpen = child.children && (kept && hits <= 500 ? true : child.open);
                rows.push({ node: child, depth, isOpen });
                if (isOpen) walk(child, depth + 1);
            }
        };
        if (this.root.children) walk(this.root, 0);
        return { rows, hits };
    }

    openAll(open, node = this.root) {
        node.children?.forEach((child) => {
            child.open = open;
            this.openAll(open, child);
        });
        this.shape += 1;
    }
}

// What is looked for: a text, a filter with wildcards, or a regular expression between slashes.
const finder = (text) => {
    if (!text) return null;
    const regex = /^\/(.+)\/([iu]*)$/.exec(text);
    if (regex) {
        const expression = new RegExp(regex[1], regex[2]);
        return (topic) => expression.test(topic);
    }
    if (/(^|\/)[+#](\/|$)/.test(text)) return (topic) => matches(text, topic);
    const small = text.toLowerCase();
    return (topic, node) => topic.toLowerCase().includes(small) || (node.topic?.text ?? "").toLowerCase().includes(small);
};

export const Page = ({ id }) => {
    const [filter, setFilter] = useState("#");
    const [sys, setSys] = useState(false);
    const [text, setText] = useState("");
    const tree = useRef(new Tree());
    const [beyond, setBeyond] = useState(false);
    const [lost, setLost] = useState(0);
    const [wrong, setWrong] = useState(null);
    const [active, setActive] = useState(-1);
    const draw = useFrames(100);
    const asked = sys ? "$SYS/#" : filter;
    useLive(wrong ? null : { topics: asked }, {
        begin: ({ resumed }) => {
            if (!resumed.includes("topics")) tree.current = keepOpen(tree.current);
            draw();
        },
        topics: ({ data, beyond: more }) => {
            const now = performance.now();
            data.forEach((row) => tree.current.take(row, now));
            if (more) setBeyond(true);
            draw();
        },
        lost: ({ of, lost: n }) => of === "topics" && setLost((before) => before + n),
    });
    useEffect(() => {
        // rates fall while nothing comes
        const timer = setInterval(draw, 1000);
        return () => clearInterval(timer);
    }, []);
    useEffect(() => {
        tree.current = new Tree();
        setBeyond(false);
    }, [asked]);
    let found = null;
    let badRegex = false;
    try {
        found = finder(text);
    } catch {
        badRegex = true;
    }
    const shape = tree.current.shape;
    const { rows, hits } = useMemo(() => tree.current.rows(found), [shape, text, tree.current]);
    const all = tree.current.byTopic.size;
    const choose = (node, at) => {
        location.hash = `#/topics/${encodeURIComponent(node.path)}`;
        setActive(at);
    };
    const toggle = (node, open = !node.open) => {
        node.open = open;
        tree.current.shape += 1;
        draw();
    };
    const key = (event) => {
        const row = rows[active];
        const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 };
        if (event.key in moves) setActive(Math.max(0, Math.min(rows.length - 1, active + moves[event.key])));
        else if (row && event.key === "ArrowRight" && row.node.children) toggle(row.node, true);
        else if (row && event.key === "ArrowLeft") {
            if (row.node.children && row.node.open) toggle(row.node, false);
            else setActive(Math.max(0, rows.findIndex(({ node }) => node === row.node.parent)));
        } else if (row && (event.key === "Enter" || event.key === " ")) choose(row.node, active);
        else return;
        event.preventDefault();
    };
    const now = performance.now();
    const row = ({ node, depth, isOpen }, at, style) => html`<div class="branch" id=${`row-${at}`} role="treeitem" key=${node.path} aria-level=${depth + 1} aria-expanded=${node.children ? String(Boolean(isOpen)) : undefined} aria-selected=${String(id === node.path)}
        style=${{ ...style, paddingLeft: `${10 + depth * 16}px`, outline: at === active ? "1px solid var(--accent)" : "none", outlineOffset: "-1px" }} onClick=${() => choose(node, at)} onDblClick=${() => node.children && toggle(node)}>
        <span class="twist" onClick=${(e) => node.children && (e.stopPropagation(), toggle(node))}>${node.children && html`<${Icon} name="right" />`}</span>
        <bdi class="level cut" title=${shown(node.path)}>${node.name === "" ? html`<span class="soft">∅</span>` : short(node.name, 120)}</bdi>
        ${node.topic?.pinned && html`<span class="pin" title=${t.topics.retained}><${Icon} name="pin" /></span>`}
        <bdi class="last cut">${node.topic ? html`<span key=${node.topic.number}>${value(node.topic)}</span>` : html`<span class="soft">${t.topics.topicsBelow(node.topics)}</span>`}</bdi>
        <span class="age">${node.topic?.at ? brief((Date.now() - node.topic.at) / 1000) : ""}</span>
        <span class="rate">${t.topics.perSecond(rate(node.rateAt(now)))}</span>
    </div>`;
    return html`<${Head} title=${t.topics.title} sub=${text ? t.topics.found(hits, all) : t.topics.shown(all)}>
        <${Check} checked=${sys} onInput=${setSys} label=${t.topics.sys} />
        <${Button} small onClick=${() => (tree.current.openAll(true), draw())}>${t.topics.expand}<//><${Button} small onClick=${() => (tree.current.openAll(false), draw())}>${t.topics.collapse}<//>
    <//><div class="stack">
        <div class="toolbar">
            <div class="grow"><${Input} type="search" value=${text} onInput=${setText} placeholder=${t.topics.search} aria-label=${t.topics.search} aria-invalid=${String(badRegex)} /></div>
            <${FilterInput} value=${filter} onInput=${setFilter} wrong=${setWrong} disabled=${sys} />
        </div>
        ${badRegex && html`<p class="error">${t.topics.wrongRegex}</p>`}
        ${wrong && html`<p class="error">${wrong}</p>`}
        ${beyond && html`<${Notice} kind="warn" title=${t.topics.limited} />`}
        ${lost > 0 && html`<${Notice} kind="warn" title=${t.topics.lost(lost)} />`}
        <div class=${`split ${id !== null ? "has-detail" : ""}`}>
            <${Card} bare label=${t.topics.title}>
                ${all === 0 ? html`<${Empty} title=${t.topics.empty}><p>${t.topics.emptyMore}</p><//>` : rows.length === 0 ? html`<${Empty} title=${t.topics.noMatch} />` : html`<${Rows} className="tree" role="tree" label=${t.topics.title} rows=${rows} height=${28} row=${row} onKey=${key} active=${active} />`}
            <//>
            <div class=${`detail ${id === null ? "is-empty" : ""}`}>${id === null ? html`<${Card}><${Empty} title=${t.topics.choose}><p>${t.topics.chooseMore}</p><//><//>` : html`<${Detail} key=${id} topic=${id} tree=${tree.current} />`}</div>
        </div>
    </div>`;
};

const keepOpen = (before) => {
    const tree = new Tree();
    const opened = new Set();
    const walk = (node) => node.children?.forEach((child) => (child.open && opened.add(child.path), walk(child)));
    walk(before.root);
    const at = tree.at.bind(tree);
    tree.at = (topic) => {
        const node = at(topic);
        if (opened.size) for (let up = node; up; up = up.parent) if (opened.has(up.path)) up.open = true;
        return node;
    };
    return tree;
};

const value = ({ text, base64, size }) => {
    if (text !== null) return size === 0 ? "∅" : short(text, 160);
    if (base64 === null) return bytes(size);
    return [...fromBase64(base64)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
};

// A filter that is asked for when it is right, and not with each key.
export const FilterInput = ({ value, onInput, wrong, label = t.topics.below, disabled }) => {
    const [text, set] = useState(value);
    useEffect(() => set(value), [value]);
    const take = () => {
        const problem = badFilter(text);
        wrong?.(problem);
        if (!problem && text !== value) onInput(text);
    };
    return html`<label class="inline"><span class="soft">${label}</span><input class="input mono" value=${text} disabled=${disabled} spellcheck=${false} autocomplete="off" onInput=${(e) => set(e.target.value)} onBlur=${take} onKeyDown=${(e) => e.key === "Enter" && take()} /></label>`;
};

export const badFilter = (text) => {
    const levels = text.split("/");
    const bad = !text || text.includes("\0") || levels.some((level, at) => (/[+#]/.test(level) && level.length > 1) || (level === "#" && at < levels.length - 1));
    return bad ? t.messages.wrong : null;
};

const Detail = ({ topic, tree }) => {
    const [history, set] = useState([]);
    const node = tree.byTopic.get(topic);
    const isBranch = !node && tree.root.children && findNode(tree, topic);
    const sees = may("operator");
    useLive(sees && !/[+#]/.test(topic) && topic ? { watch: topic } : null, {
        watch: ({ data }) => data.length && set((before) => [...data.slice(-HISTORY).reverse().map((one, at) => ({ ...one, known: one.at !== null, at: one.at ?? new Date().toISOString(), key: `${one.at}-${at}-${Math.random()}`, data: payloadOf(one) })), ...before].slice(0, HISTORY)),
    });
    const [chosen, choose] = useState(null);
    const [now, before] = history;
    const seen = history.find(({ key }) => key === chosen) ?? now;
    return html`<${Card} title=${html`<${Text} mono>${topic.slice(0, 600)}<//>`} label=${t.topics.last} actions=${html`<${Copy} small text=${topic} label=${t.topics.copyTopic} />`}>
            <div class="stack">
            ${!sees && html`<${Notice} kind="warn" title=${t.topics.viewer} />`}
            ${seen ? html`<p class="row">${seen.known && html`<span class="soft">${when(seen.at)}</span>`}<${Badge}>${t.qos(seen.qos)}<//>${(seen.retain || node?.topic?.pinned) && html`<${Badge} kind="accent">${t.topics.retained}<//>`}
                    <span class="soft">${!seen.known ? t.topics.unknown : html`${t.topics.by} ${seen.client ? html`<a href=${`#/clients/${encodeURIComponent(seen.client)}`}><${Text}>${seen.client.slice(0, 100)}<//></a>` : t.topics.brokerItself}`}</span></p>
                <${Payload} data=${seen.data} topic=${topic} />
                <${Properties} all=${seen.properties} />`
            : sees && html`<p class="soft">${isBranch ? t.topics.branch : t.topics.waits}</p>`}
            ${sees && html`<${Actions} topic=${topic} tree=${tree} last=${now} />`}
            </div>
        <//>
        ${now && html`<${Numbers} history=${history} />`}
        ${now && html`<${Card} title=${html`${t.topics.difference} <span class="soft">${t.topics.differenceMore}</span>`} label=${t.topics.difference}>${before ? html`<${Difference} before=${textOf(before.data) ?? hex(before.data)} after=${textOf(now.data) ?? hex(now.data)} />` : html`<p class="soft">${t.topics.oneValue}</p>`}<//>
        <${Card} bare title=${html`${t.topics.history} <span class="soft">${t.topics.historyMore(history.length)}</span>`} label=${t.topics.history}>
            <div class="scroll history"><table><tbody>${history.map((one) => html`<tr key=${one.key} aria-selected=${String(one === seen)}><td><button class="button is-plain is-small" onClick=${() => choose(one.key)}>${hourMs(new Date(one.at))}</button></td><td class="wide"><${Text} mono>${short(textOf(one.data) ?? hex(one.data.subarray(0, 60)), 160)}<//></td><td class="num soft">${bytes(one.data.length)}</td></tr>`)}</tbody></table></div><//>`}`;
};

const findNode = (tree, topic) => topic.split("/").reduce((node, name) => node?.children?.get(name), tree.root);

const hex = (data) => [...data.subarray(0, 4096)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

export const Properties = ({ all }) => {
    const entries = Object.entries(all ?? {});
    if (!entries.length) return null;
    return html`<dl class="facts">${entries.map(([name, value]) => html`<div><dt>${name.replaceAll("_", " ")}</dt><dd>${Array.isArray(value) ? value.map(([key, one]) => html`<div><${Text}>${`${key}: ${one}`.slice(0, 500)}<//></div>`) : html`<${Text}>${String(value).slice(0, 500)}<//>`}</dd></div>`)}</dl>`;
};

const Numbers = ({ history }) => {
    const found = useMemo(() => history.map(({ data, at }) => ({ at: new Date(at).getTime() / 1000, all: numbers(data.length < 100_000 ? textOf(data) : null) })), [history]);
    const paths = [...new Set(found.flatMap(({ all }) => [...all.keys()]))].slice(0, 60);
    const [chosen, choose] = useState(null);
    const path = paths.includes(chosen) ? chosen : paths[0];
    const data = useMemo(() => {
        const points = found.filter(({ all }) => all.has(path)).reverse();
        // two messages of one moment are one point
        const unique = points.filter(({ at }, place) => place === points.length - 1 || points[place + 1].at !== at);
        return [unique.map(({ at }) => at), unique.map(({ all }) => all.get(path))];
    }, [found, path]);
    if (!paths.length) return null;
    const names = paths.map((one) => [one, one === "" ? t.topics.value : short(one, 60)]);
    return html`<${Card} bare title=${t.topics.chart} actions=${paths.length > 1 && html`<${Select} aria-label=${t.topics.chartField} value=${path} onInput=${choose} options=${names} />`}>
        ${data[0].length > 1 ? html`<${Chart} data=${data} names=${[path || t.topics.value]} format=${(n) => Number(n.toPrecision(6)).toLocaleString("en")} label=${t.topics.chart} height=${160} zero=${false} />` : html`<p class="soft padded-all">${shown(path)}${path && ": "}${data[1][0]}. ${t.topics.chartWaits}</p>`}<//>`;
};

const Actions = ({ topic, tree, last }) => {
    const [open, setOpen] = useState(false);
    const below = `${topic}/#`;
    const deleteBelow = async () => {
        const told = await doing(() => remove("retained", { filter: below, dry_run: "true" }));
        if (!told) return;
        if (!told.messages) return void doing(async () => {}, t.topics.nothingRetained);
        if (!(await confirm({ title: t.topics.deleteTitle, text: t.topics.deleteText(told.messages, shown(below)), yes: t.topics.deleteYes(told.messages), bad: true }))) return;
        const done = await doing(() => remove("retained", { filter: below }), ({ messages }) => t.topics.deleted(messages));
        if (done) tree.unpin(below);
    };
    return html`<div class="row">
            <${Button} small icon="publish" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${t.topics.publishHere}<//>
            <a class="button is-small" href=${`#/messages/${encodeURIComponent(topic)}`}>${t.topics.openMessages}</a>
            <${Button} small kind="bad" icon="trash" onClick=${deleteBelow}>${t.topics.deleteBelow}<//>
        </div>${open && html`<${PublishHere} topic=${topic} last=${last} />`}`;
};

const PublishHere = ({ topic, last }) => {
    const [payload, setPayload] = useState(last ? (textOf(last.data) ?? "") : "");
    const [qos, setQos] = useState("0");
    const [retain, setRetain] = useState(false);
    const send = (event) => {
        event.preventDefault();
        doing(() => post("publish", { topic, payload, qos: Number(qos), retain }), ({ subscribers }) => t.publish.sent(subscribers));
    };
    return html`<form class="form" onSubmit=${send}>
        <${Field} label=${t.publish.payload}><${Area} value=${payload} onInput=${setPayload} /><//>
        <div class="row"><${Tabs} label=${t.publish.qos} value=${qos} onInput=${setQos} options=${["0", "1", "2"].map((n) => [n, t.qos(n)])} /><${Check} checked=${retain} onInput=${setRetain} label=${t.publish.retain} /><button class="button is-first">${t.publish.send}</button></div>
    </form>`;
};
