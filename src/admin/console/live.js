// The one stream of this page, which has the data of all its parts. A part subscribes while it is shown; after a change,
// a new stream is opened, and the old one is closed once the new one has begun.
import { stream, whoami } from "./api.js";
import { useEffect, useRef, useState } from "./kit.js";

const LANES = ["topics", "watch", "messages", "record"];
const wants = new Set();
const watchers = new Set();
let current = null;
let planned = null;
let state = "idle";
let failures = 0;

const becomes = (next) => {
    if (state === next) return;
    state = next;
    watchers.forEach((f) => f(state));
};

// Asks for something from now on; the answer ends it. `on` has a function for each kind of event.
export const want = (query, on) => {
    const one = { query, on };
    wants.add(one);
    plan(0);
    return () => {
        wants.delete(one);
        plan(0);
    };
};

const together = () => {
    const all = {};
    wants.forEach(({ query }) => Object.assign(all, query));
    return all;
};

const plan = (wait) => {
    clearTimeout(planned);
    planned = setTimeout(change, wait);
};

const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());

const change = () => {
    const asked = together();
    if (current && same(asked, current.asked)) return;
    if (!Object.keys(asked).length) {
        current?.abort.abort();
        current = null;
        becomes("idle");
        return;
    }
    open(asked);
};

const open = async (asked) => {
    const before = current;
    const abort = new AbortController();
    const one = { asked, abort };
    current = one;
    const resumed = LANES.filter((lane) => asked[lane] && before?.began && before.asked[lane] === asked[lane]);
    try {
        const response = await stream({ ...asked, resumed: resumed.join(",") }, abort.signal);
        before?.abort.abort();
        one.began = true;
        failures = 0;
        becomes("open");
        if (current === one) tell("begin", { resumed });
        await read(response.body.getReader(), one);
    } catch (error) {
        if (abort.signal.aborted) return;
        before?.abort.abort();
        if (error.status === 403 || error.status === 400) {
            becomes("refused");
            return;
        }
    }
    if (current !== one) return;
    // the broker ended it, or is gone
    current = null;
    becomes("lost");
    failures += 1;
    if (failures % 4 === 0) whoami().catch(() => {});
    plan(Math.min(500 * 2 ** failures, 10_000));
};

const read = async (reader, one) => {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        rest += decoder.decode(value, { stream: true });
        const parts = rest.split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
            if (current !== one) return;
            const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(part) ?? [];
            if (name) tell(name, JSON.parse(data));
        }
    }
};

const tell = (name, data) => wants.forEach(({ on }) => on[name]?.(data));

// Wants something for as long as a component is shown.
export const useLive = (query, on) => {
    const latest = useRef(on);
    latest.current = on;
    const key = JSON.stringify(query);
    useEffect(() => {
        if (!query) return undefined;
        const passed = new Proxy({}, { get: (_, name) => latest.current[name] });
        return want(query, passed);
    }, [key]);
};

// "idle", "open", "lost" or "refused".
export const useLiveState = () => {
    const [now, set] = useState(state);
    useEffect(() => {
        watchers.add(set);
        return () => watchers.delete(set);
    }, []);
    return now;
};
