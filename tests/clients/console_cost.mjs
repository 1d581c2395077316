// What one open page costs the broker: its CPU time for a message, without a page and with one, in turns; medians.
//   node console_cost.mjs URL PORT PID [MOST [SECONDS [ROUNDS]]]
// 50 publishers send 10,000 messages a second in all to 1,000 topics; each topic has one of 50 subscribers. The page is a
// program that reads what the page reads. MOST: the most that a page may cost, in percent.
import { readFileSync, readdirSync } from "node:fs";
import { client, paced, publish, sleep, subscribe } from "./raw_mqtt.mjs";

const [url, port, pid, most = "5", seconds = "1", rounds = "7"] = process.argv.slice(2);
const CLIENTS = 50;
const TOPICS = 20;
const EVERY = 5;

const PAGES = { overview: "points=true&events=true", topics: "topics=%23", messages: "messages=%23" };

// Nanoseconds of CPU of all threads of the broker.
const cpu = () => readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]), 0);

let received = 0;
const publishers = [];
const subscribers = [];
for (let n = 0; n < CLIENTS; n += 1) {
    const subscriber = await client(port, `cost-s${n}`);
    await subscribe(subscriber, `cost/${n}/+`);
    subscriber.on("data", (data) => (received += data.length));
    subscribers.push(subscriber);
    publishers.push(await client(port, `cost-p${n}`));
}
const payload = JSON.stringify({ temperature: 21.5, humidity: 40, on: true });
const messages = publishers.map((_, n) => Array.from({ length: TOPICS }, (_, topic) => publish(`cost/${n}/${topic}`, payload)));

const open = async (query) => {
    const abort = new AbortController();
    const response = await fetch(`${url}/api/v1/live?${query}`, { signal: abort.signal });
    if (!response.ok) throw new Error(`the stream answers ${response.status}`);
    const page = { bytes: 0, close: () => abort.abort() };
    (async () => {
        for await (const part of response.body) page.bytes += part.length;
    })().catch(() => {});
    await sleep(200);
    return page;
};

// Nanoseconds for a message.
const round = async () => {
    const before = cpu();
    const calls = await paced(EVERY, Number(seconds) * 1000, (turn) => publishers.forEach((publisher, n) => publisher.write(messages[n][turn % TOPICS])));
    // the last ones are on their way
    await sleep(100);
    return (cpu() - before) / (calls * CLIENTS);
};

const median = (all) => all.toSorted((a, b) => a - b)[all.length >> 1];
await round();
for (const [name, query] of Object.entries(PAGES)) {
    const [alone, beside] = [[], []];
    for (let n = 0; n < Number(rounds); n += 1) {
        // which one is first changes, so that a machine that slows down is not taken for a page
        for (const is of n % 2 ? [true, false] : [false, true]) {
            const page = is ? await open(query) : null;
            (is ? beside : alone).push(await round());
            if (page && !page.bytes) throw new Error("the page is told nothing");
            page?.close();
        }
    }
    const more = (median(beside.map((cost, n) => cost / alone[n])) - 1) * 100;
    console.log(`${more <= Number(most) ? "ok    " : "FAILED"} ${name}: ${(median(alone) / 1000).toFixed(2)} µs of CPU a message without a page, ${(median(beside) / 1000).toFixed(2)} µs with one: ${more.toFixed(1)} % more, of ${most}`);
    if (more > Number(most)) process.exitCode = 1;
}
if (!received) throw new Error("the subscribers received nothing");
[...subscribers, ...publishers].forEach((socket) => socket.destroy());
