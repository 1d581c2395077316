// What is on the pages of clients, topics, messages, publishing, configuration and recordings, in detail; the buttons that
// copy. For console.mjs.
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { client, login, packet, publish as raw, sleep, text } from "./raw_mqtt.mjs";

export default async ({ test, expect, until, open, enter, show, publish, api, url, port, lockedUrl, readonlyUrl }) => {
    await test("the table of clients is sorted, filtered by user, state, protocol and what they have, and goes on", async () => {
        const sockets = [];
        const page = await open();
        try {
            for (let n = 0; n < 105; n += 1) sockets.push(await client(port, `herd-${String(n).padStart(3, "0")}`));
            sockets.push(await login(port, "herd-named", "shepherd"));
            // it acknowledges nothing: some messages are in flight, others wait
            const slow = await client(port, "herd-slow");
            sockets.push(slow);
            slow.write(packet(0x82, Buffer.from([0, 1]), text("herd/slow"), Buffer.from([1])));
            const kept = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "herd-away", "-c", "-V", "5", "-x", "60", "-q", "1", "-t", "herd/away", "-E"]);
            await new Promise((done) => kept.on("exit", done));
            await until(async () => (await api("GET", "clients/herd-slow/subscriptions")).data.length, "the subscription");
            // more than the session of the client that is away keeps: some are dropped
            await api("POST", "publish", Array.from({ length: 520 }, () => ({ topic: "herd/away", payload: "x", qos: 1 })));
            await api("POST", "publish", Array.from({ length: 60 }, (_, n) => ({ topic: "herd/slow", payload: `for slow ${n}`, qos: 1 })));
            await show(page, "clients");
            const rows = page.locator("tbody tr");
            const names = () => rows.locator("td:first-child a").allInnerTexts();
            const are = async (wanted, told) => until(async () => JSON.stringify((await names()).sort()) === JSON.stringify(wanted), `${told}: ${await names()}`);
            await page.getByRole("searchbox").first().fill("herd-");
            await until(async () => (await rows.count()) === 100, "the first hundred");
            await page.getByRole("button", { name: "Show more" }).click();
            await until(async () => (await rows.count()) === 107, "all of them");
            expect(!(await page.getByRole("button", { name: "Show more" }).count()), "there is more");
            await page.getByRole("searchbox", { name: "User" }).fill("shepherd");
            await are(["herd-named"], "by user");
            await page.getByRole("searchbox", { name: "User" }).fill("");
            for (const [show, who] of [["With a queue", ["herd-slow"]], ["With messages in flight", ["herd-slow"]]]) {
                await page.getByLabel("Show", { exact: true }).selectOption(show);
                await are(who, show);
            }
            await page.getByLabel("Show", { exact: true }).selectOption("Any client");
            await page.getByRole("button", { name: "Away", exact: true }).click();
            await are(["herd-away"], "away");
            await page.getByRole("button", { name: "All", exact: true }).click();
            await page.getByLabel("Show", { exact: true }).selectOption("With drops");
            await are(["herd-away"], "with drops");
            await page.getByLabel("Show", { exact: true }).selectOption("Any client");
            await page.getByLabel("Protocol").selectOption("MQTT 5");
            await are(["herd-away"], "MQTT 5");
            await page.getByLabel("Protocol").selectOption("MQTT 3.1");
            await page.getByText("No client matches").waitFor();
            await page.getByLabel("Protocol").selectOption("Any version");
            const head = page.locator("th", { hasText: "Queued" });
            await head.getByRole("button").click();
            await until(async () => (await names())[0] === "herd-away" && (await names())[1] === "herd-slow", "the longest queue first");
            expect((await head.getAttribute("aria-sort")) === "descending", await head.getAttribute("aria-sort"));
            await head.getByRole("button").click();
            await until(async () => (await head.getAttribute("aria-sort")) === "ascending" && !(await names()).slice(0, 50).includes("herd-slow"), "the shortest first");
            await head.getByRole("button").click();
            expect((await head.getAttribute("aria-sort")) === null, "it is not sorted any more");
        } finally {
            sockets.forEach((socket) => socket.destroy());
        }
        await page.context().close();
        await api("DELETE", "clients/herd-away?session=end");
    });

    await test("a client's page has its queue and what is in flight, leads to its traces, ends its session and bans it", async () => {
        const page = await open();
        const sockets = [];
        const join = async (id, ...more) => {
            const socket = await client(port, id, ...more);
            sockets.push(socket);
            return socket;
        };
        try {
            const slow = await join("one-slow", false);
            slow.write(packet(0x82, Buffer.from([0, 1]), text("one/+"), Buffer.from([1])));
            await until(async () => (await api("GET", "clients/one-slow/subscriptions")).data.length, "the subscription");
            await api("POST", "publish", Array.from({ length: 60 }, (_, n) => ({ topic: `one/${n}`, payload: "12345", qos: 1 })));
            await show(page, "clients/one-slow");
            const flight = page.locator("section", { has: page.getByRole("heading", { name: "In flight" }) });
            const queue = page.locator("section", { has: page.getByRole("heading", { name: "Queue", exact: true }) });
            await flight.getByRole("row", { name: /one\/0 5 B/ }).waitFor();
            await queue.getByRole("row", { name: /one\/59 1 5 B|one\/\d+ 1 5 B/ }).first().waitFor();
            const [sent, waits] = [await flight.locator("tbody tr").count(), await queue.locator("tbody tr").count()];
            expect(sent > 0 && waits > 0 && sent + waits === 60, `${sent} and ${waits}`);
            await page.getByRole("link", { name: "Trace", exact: true }).click();
            await page.locator("input.mono").waitFor();
            expect((await page.locator("input.mono").inputValue()) === "one-slow", await page.locator("input.mono").inputValue());
            await show(page, "clients/one-slow");
            await page.getByRole("button", { name: "End session" }).click();
            await page.getByRole("dialog").getByText("its subscriptions and queued messages are removed").waitFor();
            await page.getByRole("dialog").getByRole("button", { name: "End session" }).click();
            await page.getByText("This client does not exist").waitFor();
            expect((await api("GET", "clients/one-slow")).status === 404, "it has a session");
            await join("one-banned");
            await show(page, "clients/one-banned");
            await page.getByRole("button", { name: "Ban", exact: true }).click();
            await page.getByRole("dialog").getByRole("button", { name: "Ban", exact: true }).click();
            await page.getByText("This client does not exist").waitFor();
            const bans = (await api("GET", "bans")).data;
            expect(bans.length === 1 && bans[0].client_id === "one-banned", JSON.stringify(bans));
            // CONNACK: not authorized
            const again = await join("one-banned");
            expect(again.told[3] !== 0, `a banned client gets ${again.told.toString("hex")}`);
            await show(page, "bans");
            await page.getByRole("row", { name: /one-banned/ }).getByRole("button", { name: "End" }).click();
            await page.getByText("Nobody is banned").waitFor();
        } finally {
            sockets.forEach((socket) => socket.destroy());
        }
        await page.context().close();
    });

    // Of a chart: how many pixels have the colour of the first line, and between which rows.
    const drawn = (page) =>
        page.locator(".detail .chart canvas").evaluate((canvas) => {
            const probe = document.body.appendChild(document.createElement("span"));
            probe.style.color = "var(--series-1)";
            const [r, g, b] = getComputedStyle(probe).color.match(/\d+/g).map(Number);
            probe.remove();
            const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
            const drawing = copy.getContext("2d", { willReadFrequently: true });
            drawing.drawImage(canvas, 0, 0);
            const { data, width, height } = drawing.getImageData(0, 0, canvas.width, canvas.height);
            let [count, top, bottom] = [0, height, 0];
            for (let at = 0; at < data.length; at += 4) {
                if (data[at + 3] < 128 || Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b) > 60) continue;
                const row = Math.floor(at / 4 / width);
                [count, top, bottom] = [count + 1, Math.min(top, row), Math.max(bottom, row)];
            }
            return { count, high: bottom - top, height };
        });

    await test("a chart draws a line through the values of the chosen number", async () => {
        const page = await open();
        const send = (watts, volts) => api("POST", "publish", { topic: "chart/one", payload: JSON.stringify({ volts, watts }) });
        await page.goto(`${url}/#/topics/${encodeURIComponent("chart/one")}`);
        await page.getByText("Waiting for a message").waitFor();
        const values = (n) => until(async () => (await page.locator(".history tr").count()) === n, `${n} values`);
        for (let n = 0; n < 3; n += 1) {
            await send(5, 230);
            await values(n + 1);
        }
        await page.getByLabel("Number").selectOption("watts");
        await until(async () => (await drawn(page)).count > 30, "a line");
        const flat = await drawn(page);
        expect(flat.high < flat.height / 10, `a flat line is ${flat.high} of ${flat.height} high`);
        for (const [at, watts] of [90, 5, 90].entries()) {
            await send(watts, 230);
            await values(at + 4);
        }
        await until(async () => (await drawn(page)).high > flat.height / 3, "a line with a height");
        const steep = await drawn(page);
        expect(steep.count > flat.count, `${steep.count} pixels, and ${flat.count} of a flat line`);
        // the other number did not change
        await page.getByLabel("Number").selectOption("volts");
        await until(async () => (await drawn(page)).high < flat.height / 10 && (await drawn(page)).count > 30, "the line of the other number");
        await page.context().close();
    });

    await test("the tree has rates and pins of retained messages, and is opened and closed as a whole", async () => {
        const page = await open();
        await page.goto(`${url}/#/topics/${encodeURIComponent("pin/a/b")}`);
        const row = (name) => page.getByRole("treeitem", { name });
        await page.getByText("Waiting for a message").waitFor();
        await page.getByLabel("Filter", { exact: true }).fill("pin/#");
        await page.getByLabel("Filter", { exact: true }).press("Enter");
        publish("pin/a/b", "kept", "-r");
        // the tree of the filter alone
        await until(async () => (await page.getByRole("treeitem").count()) === 3, "three rows");
        await row(/^b/).locator(".pin").waitFor();
        // an empty retained message takes it away
        publish("pin/a/b", "", "-r");
        await row(/^b/).locator(".pin").waitFor({ state: "detached" });
        expect((await api("GET", "retained?filter=pin/%23")).data.length === 0, "it is retained");
        await api("POST", "publish", Array.from({ length: 12 }, () => ({ topic: "pin/a/b", payload: "x" })));
        await row(/^b/).locator(".rate", { hasText: /^[1-9][\d.]*\/s$/ }).waitFor();
        // a level has the rate of all below it
        await row(/^pin/).locator(".rate", { hasText: /^[1-9][\d.]*\/s$/ }).waitFor();
        await page.getByRole("button", { name: "Collapse all" }).click();
        await until(async () => (await page.getByRole("treeitem").count()) === 1, "one row");
        expect((await row(/^pin/).getAttribute("aria-expanded")) === "false", "it is open");
        await page.getByRole("button", { name: "Expand all" }).click();
        await until(async () => (await page.getByRole("treeitem").count()) === 3, "three rows");
        // while nothing comes, a rate falls until none is shown
        await until(async () => /^(0\.\d+\/s)?$/.test((await row(/^b/).locator(".rate").innerText()).trim()), "the rate falls");
        await page.context().close();
    });

    await test("the log shows what goes out to clients, apart from what comes in", async () => {
        const page = await open();
        const heard = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "ear", "-t", "ways/#", "-q", "1"]);
        try {
            await until(async () => (await api("GET", "clients?client_id=ear")).data[0]?.subscriptions, "the subscriber");
            await show(page, `messages/${encodeURIComponent("ways/#")}`);
            const rows = page.locator(".entry");
            const way = (name) => page.getByLabel("Direction", { exact: true }).selectOption(name);
            await way("Out: delivered");
            await until(async () => {
                publish("ways/a", "to the ear");
                return rows.filter({ hasText: "to the ear" }).filter({ has: page.getByText("out", { exact: true }) }).count();
            }, "a delivery");
            await rows.filter({ hasText: "to the ear" }).first().click();
            await page.locator(".detail").getByText("Delivered", { exact: true }).waitFor();
            await page.locator(".detail").getByRole("link", { name: "ear" }).waitFor();
            await way("In and out");
            await until(async () => {
                publish("ways/b", "both");
                const both = rows.filter({ hasText: "both" });
                return (await both.count()) >= 2 && (await both.filter({ has: page.getByText("out", { exact: true }) }).count()) < (await both.count());
            }, "a message and its delivery");
            const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "JSON lines" }).click()]);
            const lines = readFileSync(await download.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
            expect(lines.some(({ direction, client }) => direction === "to_client" && client === "ear") && lines.some(({ topic, direction }) => topic && !direction), JSON.stringify(lines));
            await way("In: published");
            await rows.filter({ has: page.getByText("out", { exact: true }) }).first().waitFor({ state: "detached" });
            await rows.filter({ hasText: "both" }).first().waitFor();
        } finally {
            heard.kill();
        }
        await page.context().close();
    });

    await test("a message is published at QoS 2, retained, with an expiry and as UTF-8", async () => {
        const page = await open();
        let told = "";
        const heard = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "exactly", "-t", "exact/#", "-V", "5", "-q", "2", "--retain-as-published", "-F", "%t|%p|%q|%r|%E|%F"]);
        heard.stdout.on("data", (data) => (told += data));
        try {
            await until(async () => (await api("GET", "clients?client_id=exactly")).data[0]?.subscriptions, "the subscriber");
            await show(page, "publish");
            await page.getByLabel("Topic", { exact: true }).fill("exact/all");
            await page.locator("form textarea").fill("once");
            await page.getByRole("button", { name: "QoS 2" }).click();
            await page.getByLabel("Retain", { exact: true }).check();
            await page.getByText("Properties of MQTT 5").click();
            await page.getByLabel("Message Expiry (s)").fill("77");
            await page.getByLabel("Payload is UTF-8").check();
            await page.locator("form").getByRole("button", { name: "Publish", exact: true }).click();
            await page.getByText("Published to 1 subscriber").waitFor();
            await until(() => /exact\/all\|once\|2\|1\|7[67]\|1/.test(told), `mosquitto_sub: ${told}`);
            const [kept] = (await api("GET", "retained?filter=exact/%23")).data;
            expect(kept?.qos === 2 && kept.expires_at, JSON.stringify(kept));
        } finally {
            heard.kill();
        }
        await page.context().close();
        await api("DELETE", "retained?filter=exact/%23");
    });

    await test("the configuration is reloaded with its changes, and another one is checked", async () => {
        const file = process.env.CONSOLE_CONFIG;
        const before = readFileSync(file, "utf8");
        const page = await open();
        const reload = async (told) => {
            await page.getByRole("button", { name: "Reload" }).click();
            await page.getByRole("heading", { name: told }).or(page.locator(".toast", { hasText: told })).first().waitFor();
        };
        try {
            await page.goto(lockedUrl);
            await enter(page, "ada", "ada's secret");
            await page.getByRole("heading", { name: "Overview" }).waitFor();
            await page.goto(`${lockedUrl}/#/settings`);
            const row = page.getByRole("row", { name: /limits\.max_queued_messages/ });
            await row.getByText("default").waitFor();
            await reload("Reloaded: nothing changed");
            writeFileSync(file, `${before}[limits]\nmax_queued_messages = 77\n`);
            await reload("Reloaded: 1 change");
            await page.locator("li", { hasText: "max_queued_messages" }).waitFor();
            await row.getByText("77", { exact: true }).waitFor();
            await page.getByLabel("Only what is set").check();
            await until(async () => (await page.locator("tbody tr").count()) < 20, "what is set");
            await row.waitFor();
            await page.getByRole("searchbox", { name: "Find a key" }).fill("acl_file");
            await until(async () => (await page.locator("tbody tr").count()) === 1, "one key");
            const check = async (text) => {
                await page.getByRole("textbox", { name: "Check a configuration" }).fill(text);
                await page.getByRole("button", { name: "Check", exact: true }).click();
            };
            await check("[limits]\nmax_qeued_messages = 1\n");
            await page.locator(".notice.is-bad", { hasText: "max_queued_messages" }).waitFor();
            await check(`${before}[limits]\nmax_queued_messages = 88\n`);
            await page.locator(".notice.is-good li", { hasText: "max_queued_messages" }).waitFor();
            await check(`${before}[limits]\nmax_queued_messages = 77\n`);
            // what is in force is no change, nor is what flags set
            await page.locator(".notice li", { hasText: /max_queued_messages/ }).waitFor({ state: "detached" });
            await page.locator(".notice.is-good").waitFor();
            expect(!(await page.locator(".notice li", { hasText: /ready_file/ }).count()), await page.locator(".notice").innerText());
            await page.getByRole("searchbox", { name: "Find a key" }).fill("");
            // a broken file is not put in force
            writeFileSync(file, `${before}[limits]\nmax_queued_messages = "many"\n`);
            await page.getByRole("button", { name: "Reload" }).click();
            await page.locator(".toast", { hasText: "max_queued_messages" }).waitFor();
            await row.getByText("77", { exact: true }).waitFor();
            await page.goto(`${lockedUrl}/#/api`);
            await page.getByRole("searchbox").fill("publish");
            const route = page.locator("details", { hasText: "api/v1/publish" }).first();
            await route.locator("summary").click();
            await route.locator("pre", { hasText: /curl -X POST 'http.*\/api\/v1\/publish'/ }).waitFor();
        } finally {
            writeFileSync(file, before);
        }
        await page.goto(`${lockedUrl}/#/settings`);
        await reload("Reloaded: 1 change");
        await page.context().close();
    });

    for (const has of [true, false]) {
        await test(`topics, payloads and commands are copied, ${has ? "with" : "without"} a clipboard for pages`, async () => {
            const page = await open();
            if (has) await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
            else await page.addInitScript(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
            publish("copy/<b>one</b>", "line 1\nline 2 \u202e", "-r");
            const pasted = async () => {
                if (has) return page.evaluate(() => navigator.clipboard.readText());
                // a text field of the test's own
                const field = await page.evaluateHandle(() => document.body.appendChild(document.createElement("textarea")));
                await field.asElement().focus();
                await page.keyboard.press("Control+V");
                return field.evaluate((one) => (one.remove(), one.value));
            };
            const copies = async (button, wanted) => {
                await button.click();
                await page.locator(".toast", { hasText: "Copied" }).last().waitFor();
                const text = await pasted();
                expect(wanted instanceof RegExp ? wanted.test(text) : text === wanted, JSON.stringify(text));
            };
            await page.goto(`${url}/#/topics/${encodeURIComponent("copy/<b>one</b>")}`);
            await copies(page.getByRole("button", { name: "Copy topic" }), "copy/<b>one</b>");
            // what is copied is the payload itself, not how it is shown
            await copies(page.locator(".detail").getByRole("button", { name: "Copy", exact: true }), "line 1\nline 2 \u202e");
            await page.goto(readonlyUrl);
            await enter(page, "ada", "ada's secret");
            await page.getByText("Connect the first client").waitFor();
            const commands = page.locator(".copy").getByRole("button", { name: "Copy" });
            await copies(commands.first(), /^mosquitto_sub -h 127\.0\.0\.1 -p \d+ -t '#' -v$/);
            await copies(commands.nth(2), /^import paho\.mqtt\.publish as publish\npublish\.single\(/);
            await page.context().close();
            await api("DELETE", "retained?filter=copy/%23");
        });
    }

    await test("a recording ends at 50,000 messages, and at 64 MiB, and says so", async () => {
        const socket = await client(port, "much");
        // records this filter while so many bytes are sent again and again, until the recording ends by itself
        const recorded = async (filter, bytes, pause) => {
            const page = await open();
            await show(page, "record");
            await page.getByLabel("Topic Filter").fill(filter);
            await page.getByRole("button", { name: "Start recording" }).click();
            await until(async () => (await api("GET", "subscriptions?limit=1000")).data.some((one) => one.filter === filter), "the recording");
            const full = page.getByText("The recording is full and has ended");
            for (let n = 0; n < 400 && !(await full.count()); n += 1) {
                socket.write(bytes);
                await sleep(pause);
            }
            await full.waitFor();
            await page.getByRole("button", { name: "Start recording" }).waitFor();
            const told = await page.locator(".num-line").innerText();
            await page.context().close();
            return told;
        };
        try {
            const many = await recorded("much/+", Buffer.concat(Array.from({ length: 500 }, (_, n) => raw(`much/${n}`, "x"))), 30);
            expect(/^50,000 messages/.test(many), many);
            const large = await recorded("large/+", Buffer.concat(Array.from({ length: 10 }, () => raw("large/one", Buffer.alloc(100_000, 97)))), 40);
            // the last one is over the bound
            expect(/^67\d messages, 64(\.\d)? MiB/.test(large), large);
        } finally {
            socket.destroy();
        }
    });

    await test("a recording is played at its own speed and faster, is stopped, and keeps Retain if that is wanted", async () => {
        const page = await open();
        const times = [];
        const heard = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "tempo", "-t", "tempo/#"]);
        heard.stdout.on("data", (data) => String(data).trim().split("\n").forEach((line) => times.push([line, performance.now()])));
        const line = (at, topic, retain = false) => JSON.stringify({ at: new Date(1e12 + at).toISOString(), topic, payload: topic, qos: 0, retain });
        const file = (...lines) => ({ name: "t.jsonl", mimeType: "application/jsonl", buffer: Buffer.from([JSON.stringify({ dunlin: "recording", version: 1 }), ...lines].join("\n")) });
        try {
            await until(async () => (await api("GET", "clients?client_id=tempo")).data[0]?.subscriptions, "the subscriber");
            await show(page, "record");
            const play = async (speed) => {
                times.length = 0;
                await page.getByLabel("Speed").selectOption(speed);
                await page.getByRole("button", { name: "Play" }).click();
                await page.getByText("Played 3 messages").waitFor();
                await until(() => times.length === 3, JSON.stringify(times));
                return times[2][1] - times[0][1];
            };
            await page.getByLabel("Open a file").setInputFiles(file(line(0, "tempo/a"), line(900, "tempo/b", true), line(1800, "tempo/c")));
            const [slow, fast] = [await play("1"), await play("10")];
            expect(times.map(([text]) => text).join() === "tempo/a,tempo/b,tempo/c", JSON.stringify(times));
            expect(fast < slow, `${slow} ms and ${fast} ms`);
            expect(!(await api("GET", "retained?filter=tempo/%23")).data.length, "it is retained without the option");
            await page.getByLabel("Keep the Retain flag").check();
            await play("max");
            expect((await api("GET", "retained?filter=tempo/%23")).data.map(({ topic }) => topic).join() === "tempo/b", "it is not retained");
            // the next message would be due in an hour
            await page.getByLabel("Open a file").setInputFiles(file(line(0, "tempo/now"), line(3_600_000, "tempo/later")));
            await page.getByLabel("Speed").selectOption("1");
            await page.getByRole("button", { name: "Play" }).click();
            await page.getByText("1 of 2 messages").waitFor();
            await page.locator("section", { hasText: "Replay" }).last().getByRole("button", { name: "Stop" }).click();
            await page.getByText("Played 1 message").waitFor();
            expect(!times.some(([text]) => text === "tempo/later"), JSON.stringify(times));
            await page.getByRole("button", { name: "Play" }).waitFor();
        } finally {
            heard.kill();
        }
        await page.context().close();
        await api("DELETE", "retained?filter=tempo/%23");
    });
};
