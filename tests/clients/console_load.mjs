// The pages of topics and of messages while much flows: 50,000 topics, 10,000 messages a second. Frame times, and the
// memory of the tab. For console.mjs.
import { readFileSync } from "node:fs";
import { client, paced, publish, sleep } from "./raw_mqtt.mjs";

// Set by tests/clients/console, which also limits the time of all tests by it.
const SECONDS = Number(process.env.DUNLIN_FLOOD_SECONDS);
// more than a page shows
const TOPICS = 51_000;
const RATE = 10_000;
const MOST_MB = 150;

export default async ({ test, expect, until, launch, url, port }) => {
    const socket = await client(port, "flood");
    const packets = Array.from({ length: TOPICS }, (_, n) => publish(`many/${n % 50}/${n}`, JSON.stringify({ number: n, temperature: 21.5 })));
    const AT_ONCE = 100;
    const batches = Array.from({ length: TOPICS / AT_ONCE }, (_, n) => Buffer.concat(packets.slice(n * AT_ONCE, (n + 1) * AT_ONCE)));
    let turn = 0;
    const flood = (seconds) => paced((AT_ONCE / RATE) * 1000, seconds * 1000, () => socket.write(batches[turn++ % batches.length]));

    // A browser of its own: the tab is its one page.
    const alone = async (hash) => {
        const browser = await launch();
        const page = await (await browser.newContext({ viewport: { width: 1280, height: 860 } })).newPage();
        page.setDefaultTimeout(15_000);
        await page.goto(`${url}/#/${hash}`);
        await page.locator("h1").first().waitFor();
        const system = await browser.newBrowserCDPSession();
        // MB of the largest tab that its files and other processes do not share
        const memory = async () => {
            const { processInfo } = await system.send("SystemInfo.getProcessInfo");
            const kib = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, "utf8"))[1]));
            return Math.max(...kib) / 1000;
        };
        return { browser, page, memory };
    };

    // What it takes from one frame to the next until `done`, sorted.
    const frames = (page) =>
        page.evaluate(() => {
            window.frames_ = { times: [], ends: false };
            let last = performance.now();
            const step = (now) => {
                window.frames_.times.push(now - last);
                last = now;
                if (!window.frames_.ends) requestAnimationFrame(step);
            };
            requestAnimationFrame(step);
        });
    const framesOf = (page) => page.evaluate(() => ((window.frames_.ends = true), window.frames_.times.sort((a, b) => a - b)));

    const measure = async ({ page, memory }, name) => {
        await frames(page);
        let most = 0;
        let ends = false;
        const watching = (async () => {
            while (!ends) {
                most = Math.max(most, await memory());
                await sleep(500);
            }
        })();
        const calls = await flood(SECONDS);
        ends = true;
        await watching;
        const times = await framesOf(page);
        const of = (part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];
        const rate = (calls * AT_ONCE) / SECONDS;
        console.log(`       ${name}: ${Math.round(rate)} messages a second for ${SECONDS} s; frames: median ${of(0.5).toFixed(1)} ms, 95 of 100 within ${of(0.95).toFixed(1)} ms, 99 within ${of(0.99).toFixed(1)} ms; the tab has ${most.toFixed(0)} MB at most`);
        expect(most < MOST_MB, `the tab has ${most} MB`);
        expect(of(0.95) < 200, `frames of ${of(0.95)} ms`);
        expect(rate > RATE * 0.8, `this program sent ${rate} messages a second`);
    };

    await test("50,000 topics at 10,000 messages a second stay usable, in less than 150 MB", async () => {
        const tab = await alone("topics");
        try {
            const all = tab.page.locator(".head .sub", { hasText: "50,000 topics" });
            // a page that is slower than what comes loses messages, and is told so: then they come once more
            for (let round = 0; round < 4 && !(await all.count()); round += 1) {
                await flood(TOPICS / RATE);
                await sleep(500);
            }
            await all.waitFor();
            await measure(tab, "topics");
            // there are more, and the page says so; it answers meanwhile
            await tab.page.getByText("There are more than 50,000 topics").waitFor();
            const flooding = flood(6);
            const began = performance.now();
            await tab.page.getByRole("searchbox").first().fill("/7/12307");
            await tab.page.getByRole("treeitem", { name: /12307/ }).waitFor();
            console.log(`       a search among them: ${Math.round(performance.now() - began)} ms`);
            await tab.page.getByRole("treeitem", { name: /12307/ }).click();
            await tab.page.locator(".history tr").first().waitFor();
            await flooding;
            await tab.page.getByRole("searchbox").first().fill("");
            await tab.page.getByLabel("Filter", { exact: true }).fill("many/7/#");
            await tab.page.getByLabel("Filter", { exact: true }).press("Enter");
            const some = tab.page.locator(".head .sub", { hasText: "1,020 topics" });
            await until(async () => {
                await flood(1);
                return some.count();
            }, "all topics of a narrower filter");
        } finally {
            await tab.browser.close();
        }
    });

    await test("10,000 messages a second pass the page of messages, in less than 150 MB", async () => {
        const tab = await alone("messages/many%2F%23");
        try {
            await measure(tab, "messages");
            await until(async () => (await tab.page.getByText("not shown: too many to read").count()) > 0, "what is not shown is told");
        } finally {
            await tab.browser.close();
        }
    });
    socket.destroy();
};
