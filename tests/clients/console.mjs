// The web console in chromium, for tests/clients/console: node console.mjs URL PORT, and the same of a broker with
// logins.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CONSOLE_ROOT}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, port, lockedUrl, lockedPort] = process.argv.slice(2);
const shots = process.env.DUNLIN_SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

const publish = (topic, payload, ...more) => execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", port, "-t", topic, "-m", payload, "-q", "1", ...more]);
const api = async (method, path, body) => {
    const response = await fetch(`${url}/api/v1/${path}`, { method, body: body && JSON.stringify(body) });
    return response.json();
};

const launch = () => chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const browser = await launch();
// servers that pages may ask
const own = new Set([url, lockedUrl, process.env.CONSOLE_READONLY].map((one) => new URL(one).host));
// errors that the browser reports on any page
const complaints = [];
const open = async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on("console", (message) => {
        // the browser notes each answer of the API that is not a success
        const isAnswer = message.text().startsWith("Failed to load resource") && message.location().url.includes("/api/v1/");
        if (["error", "warning"].includes(message.type()) && !isAnswer) complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.stack}`));
    page.on("request", (request) => {
        const { protocol, host } = new URL(request.url());
        if (!["data:", "blob:"].includes(protocol) && !own.has(host)) complaints.push(`a request to ${request.url()}`);
    });
    page.on("dialog", (dialog) => {
        complaints.push(`a dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    return page;
};

let failures = 0;
const only = new RegExp(process.env.DUNLIN_CONSOLE_ONLY ?? "");
const test = async (name, body) => {
    if (!only.test(name)) return;
    const before = complaints.length;
    const began = performance.now();
    try {
        await body();
        if (complaints.length > before) throw new Error(complaints.slice(before).join("\n"));
        console.log(`ok     ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
        failures += 1;
        console.log(`FAILED ${name}: ${[error.stack ?? error, ...complaints.slice(before)].join("\n")}`);
    }
};
const expect = (is, text) => {
    if (!is) throw new Error(text);
};
const until = async (what, text) => {
    const end = Date.now() + 15_000;
    for (;;) {
        const is = await what();
        if (is) return is;
        if (Date.now() > end) throw new Error(`in 15 s: ${text}`);
        await new Promise((done) => setTimeout(done, 50));
    }
};

const PAGES = ["overview", "clients", "topics", "messages", "publish", "retained", "sessions", "record", "client", "log", "settings", "api"];
const show = async (page, name) => {
    await page.goto(`${url}/#/${name}`);
    await page.locator("h1").first().waitFor();
};

const sub = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "watcher", "-t", "test/#", "-t", "rpc/#", "-V", "5", "-q", "1", "-F", "%t|%p|%P|%R|%D"]);
let heard = "";
sub.stdout.on("data", (data) => (heard += data));
const clientIs = async (id) => (await api("GET", "clients?state=connected")).data.some((client) => client.client_id === id);
await until(() => clientIs("watcher"), "mosquitto_sub connects");
publish("home/lamp", JSON.stringify({ on: false, watts: 1.5 }), "-r");
publish("home/kitchen/temperature", "21.5", "-r");

const page = await open();

for (const name of PAGES) {
    await test(`the page ${name} opens, within its policy`, async () => {
        await show(page, name);
        await page.waitForTimeout(300);
        expect(!(await page.getByRole("alert").count()), await page.locator("main").innerText());
    });
}

await test("the first view has at most 60 KB, all of it 300 KB", async () => {
    const other = await open();
    let bytes = 0;
    other.on("response", async (response) => {
        if (!response.url().includes("/api/")) bytes += Number(response.headers()["content-length"] ?? 0);
    });
    await show(other, "overview");
    await other.locator(".chart canvas").first().waitFor();
    expect(bytes > 10_000 && bytes <= 61_440, `${bytes} bytes`);
    await other.context().close();
});

await test("the overview shows who connects and what flows", async () => {
    await show(page, "overview");
    await page.locator(".tile", { hasText: "Connected" }).locator(".value", { hasText: "1" }).waitFor();
    publish("test/one", "1");
    await page.locator(".events", { hasText: "disconnected" }).waitFor();
});

await test("a value that is published is in the tree, in the history, in the difference and in the chart", async () => {
    await show(page, "topics");
    await page.getByRole("treeitem", { name: /lamp/ }).click();
    await page.locator(".detail").getByText("watts").first().waitFor();
    publish("home/lamp", JSON.stringify({ on: true, watts: 9.25 }), "-r");
    await page.getByRole("treeitem", { name: /9\.25/ }).waitFor();
    await page.locator(".diff ins", { hasText: "9.25" }).waitFor();
    await page.locator(".diff del", { hasText: "1.5" }).waitFor();
    await page.locator(".history tr").nth(1).waitFor();
    await page.locator(".detail .chart canvas").waitFor();
    await page.locator(".detail select").selectOption("watts");
});

await test("topics are found by text, by filter and by regular expression", async () => {
    const box = page.getByRole("searchbox").first();
    for (const [text, found] of [["kitchen", "temperature"], ["home/+/temperature", "temperature"], ["/kit.hen/", "temperature"]]) {
        await box.fill(text);
        await page.getByRole("treeitem", { name: new RegExp(found) }).waitFor();
        await until(async () => (await page.getByRole("treeitem", { name: /lamp/ }).count()) === 0, `${text} finds the lamp`);
    }
    await box.fill("");
});

await test("publish here is heard by a subscriber", async () => {
    publish("test/here", "old");
    await page.getByRole("treeitem", { name: /^test/ }).waitFor();
    await page.goto(`${url}/#/topics/${encodeURIComponent("test/here")}`);
    await page.getByRole("button", { name: "Publish here" }).click();
    await page.locator(".detail textarea").fill("from the page");
    await page.locator(".detail form").getByRole("button", { name: "Publish" }).click();
    await until(() => heard.includes("test/here|from the page"), `mosquitto_sub: ${heard}`);
});

await test("retained messages below a branch are counted, and deleted after a question", async () => {
    for (const n of [1, 2, 3]) publish(`old/branch/${n}`, String(n), "-r");
    await page.goto(`${url}/#/topics/${encodeURIComponent("old/branch")}`);
    await page.getByRole("button", { name: "Delete retained below" }).click();
    await page.getByRole("dialog").getByText("3 retained messages").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    expect((await api("GET", "retained?filter=old/%23")).data.length === 3, "they are gone without a yes");
    await page.getByRole("button", { name: "Delete retained below" }).click();
    await page.getByRole("button", { name: "Delete 3 messages" }).click();
    await until(async () => (await api("GET", "retained?filter=old/%23")).data.length === 0, "they are gone");
});

await test("messages pass in the log, are found, held and exported", async () => {
    await show(page, `messages/${encodeURIComponent("test/#")}`);
    await page.getByText("Waiting for messages").waitFor();
    await until(async () => {
        publish("test/log", "=1+1,\"quoted\"");
        return page.getByRole("option", { name: /quoted/ }).count();
    }, "the message in the log");
    await page.getByRole("option", { name: /quoted/ }).first().click();
    await page.locator(".detail").getByText("QoS").waitFor();
    const files = {};
    for (const kind of ["JSON lines", "CSV"]) {
        const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: kind }).click()]);
        files[kind] = readFileSync(await download.path(), "utf8");
    }
    const [head, line] = files["JSON lines"].trim().split("\n").map((one) => JSON.parse(one));
    expect(head.dunlin === "recording" && line.topic === "test/log" && line.payload === "=1+1,\"quoted\"", files["JSON lines"]);
    expect(files.CSV.includes("\"'=1+1,\"\"quoted\"\"\""), files.CSV);
    await page.getByRole("button", { name: "Pause" }).click();
    publish("test/log", "while paused");
    await page.getByText("while paused", { exact: false }).first().waitFor();
    expect(!(await page.getByRole("option", { name: /while paused/ }).count()), "it is shown while paused");
});

await test("what is published with properties has them", async () => {
    await show(page, "publish");
    await page.getByLabel("Topic", { exact: true }).fill("test/properties");
    await page.locator("form textarea").fill("{\"a\": 1");
    await page.getByRole("button", { name: "JSON", exact: true }).click();
    await page.getByText("Not JSON").waitFor();
    await page.locator("form textarea").fill("{\"a\": 1}");
    await page.getByText("Properties of MQTT 5").click();
    await page.getByLabel("Content Type").fill("application/json");
    await page.getByLabel("Response Topic", { exact: true }).fill("rpc/answer");
    await page.getByLabel("Correlation Data").fill("c-1");
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByLabel("Name", { exact: true }).fill("colour");
    await page.getByLabel("Value", { exact: true }).fill("red");
    await page.getByLabel("Wait for an answer", { exact: false }).check();
    await page.locator("form").getByRole("button", { name: "Publish", exact: true }).click();
    await page.getByText("Published to 1 subscriber").waitFor();
    await until(() => heard.includes("test/properties|{\"a\": 1}|colour:red|rpc/answer|c-1"), `mosquitto_sub: ${heard}`);
    await until(async () => {
        publish("rpc/answer", "the answer");
        return page.getByText("the answer").count();
    }, "the answer is shown");
});

await test("a client is found, shown and disconnected", async () => {
    const kicked = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "kicked", "-t", "kicked/+/#", "-q", "1"]);
    try {
        await until(() => clientIs("kicked"), "the client connects");
        await show(page, "clients");
        await page.getByRole("searchbox").first().fill("kick");
        await page.getByRole("link", { name: "kicked" }).click();
        await page.getByText("kicked/+/#").waitFor();
        await page.getByPlaceholder("a/b").fill("any/topic");
        await page.getByRole("button", { name: "Ask" }).click();
        await page.getByText("Allowed").waitFor();
        await page.getByRole("button", { name: "Disconnect" }).click();
        await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
        await until(async () => (await api("GET", "closed-clients")).data.some((one) => one.client_id === "kicked"), "it is closed");
    } finally {
        kicked.kill();
    }
});

await test("a recording is downloaded, and played again with other topics", async () => {
    await show(page, "record");
    await page.getByLabel("Topic Filter").fill("home/#");
    await page.getByRole("button", { name: "Start recording" }).click();
    await page.getByText("2 messages", { exact: false }).first().waitFor();
    publish("home/record", "first");
    publish("home/record", "second");
    await page.getByText("4 messages", { exact: false }).first().waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
    const file = await download.path();
    const all = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
    expect(all[0].dunlin === "recording" && all.length === 5, JSON.stringify(all));
    await show(page, "overview");
    await show(page, "record");
    await page.getByLabel("Open a file").setInputFiles({ name: "a.jsonl", mimeType: "application/jsonl", buffer: readFileSync(file) });
    await page.getByLabel("Speed").selectOption("max");
    await page.getByLabel("Replace at the start").fill("home/");
    await page.getByLabel("with", { exact: true }).fill("test/again/");
    await page.getByRole("button", { name: "Play" }).click();
    await page.getByText("Played 4 messages").waitFor();
    await until(() => heard.includes("test/again/record|first") && heard.includes("test/again/record|second"), `mosquitto_sub: ${heard}`);
    await page.getByLabel("Open a file").setInputFiles({ name: "b.jsonl", mimeType: "application/jsonl", buffer: Buffer.from("<b>no</b>") });
    await page.getByText("This is not a recording").waitFor();
});

await test("retained messages are listed and deleted by filter", async () => {
    publish("gone/1", "1", "-r");
    await show(page, "retained");
    await page.getByLabel("Topic Filter").fill("gone/#");
    await page.getByLabel("Topic Filter").press("Enter");
    await page.getByRole("link", { name: "gone/1" }).waitFor();
    await page.getByRole("button", { name: "Delete all that match" }).click();
    await page.getByRole("button", { name: "Delete 1 message" }).click();
    await page.getByText("No retained message matches").waitFor();
});

await test("the client page is a client of MQTT 5 and of 3.1.1", async () => {
    for (const [version, protocol] of [["MQTT 5", "5"], ["MQTT 3.1.1", "3.1.1"]]) {
        await show(page, "client");
        await page.getByLabel("Client Identifier").fill("page-client");
        await page.locator("form select").first().selectOption({ label: version });
        await page.getByRole("button", { name: "Connect", exact: true }).click();
        await page.getByText("Connected as page-client").last().waitFor();
        const { data } = await api("GET", "clients?client_id=page-client");
        expect(data[0]?.listener === "http" && data[0]?.protocol === protocol, JSON.stringify(data));
        await page.getByLabel("Topic Filter").fill("home/+");
        await page.getByRole("button", { name: "Subscribe", exact: true }).click();
        await page.locator(".bubble", { hasText: "home/lamp" }).last().waitFor();
        await page.locator(".bubble", { hasText: "matches home/+" }).last().waitFor();
        await page.getByLabel("Topic", { exact: true }).fill("test/page");
        await page.getByLabel("Payload", { exact: true }).fill(`by ${version}`);
        await page.getByRole("button", { name: "Send" }).click();
        await until(() => heard.includes(`test/page|by ${version}`), `mosquitto_sub: ${heard}`);
        await page.locator(".bubble.is-own", { hasText: `by ${version}` }).waitFor();
        await page.getByRole("button", { name: "Disconnect" }).click();
        await page.getByText("The connection ended").last().waitFor();
        await page.reload();
    }
});

await test("the client page connects with all that CONNECT and its Will may have, subscribes with all options, publishes with properties", async () => {
    await show(page, "client");
    await page.locator("form select").first().selectOption({ label: "MQTT 5" });
    await page.getByLabel("Client Identifier").fill("full-client");
    await page.getByText("More options").click();
    const form = page.locator("form").first();
    for (const [label, value] of [["Keep Alive (s)", "40"], ["Session Expiry (s)", "120"], ["Receive Maximum", "7"], ["Maximum Packet Size", "100000"], ["Topic Alias Maximum", "3"]]) await form.getByLabel(label).fill(value);
    await form.getByLabel("Clean Start").uncheck();
    await form.getByLabel("Ask for response information").check();
    await form.getByLabel("Will", { exact: true }).check();
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByText("A topic has at least one character").waitFor();
    const will = page.getByRole("group", { name: "Will", exact: true });
    for (const [label, value] of [["Will topic", "test/will"], ["Will payload", "gone"], ["Will Delay (s)", "0"], ["Content Type", "text/plain"], ["Response Topic", "rpc/will"], ["Correlation Data", "0x632d32"], ["Message Expiry (s)", "60"]]) await will.getByLabel(label).fill(value);
    await will.getByLabel("Payload is UTF-8").check();
    await will.getByRole("button", { name: "QoS 1" }).click();
    await will.getByRole("button", { name: "Add" }).click();
    await will.getByLabel("Name").fill("colour");
    await will.getByLabel("Value").fill("black");
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByText("Connected as full-client").last().waitFor();
    const client = await api("GET", "clients/full-client");
    expect(client.keep_alive === 40 && client.session_expiry === 120 && client.kept && client.will?.topic === "test/will" && client.will.qos === 1, JSON.stringify(client));
    await page.getByLabel("Topic Filter").fill("echo/+");
    await page.getByLabel("No Local").uncheck();
    await page.getByLabel("Retained messages").selectOption({ label: "No retained messages" });
    publish("echo/one", "kept", "-r");
    await page.getByRole("button", { name: "Subscribe", exact: true }).click();
    await page.getByText("Subscribed to echo/+").waitFor();
    await page.getByLabel("Topic Filter").fill("#");
    await page.getByRole("button", { name: "Subscribe", exact: true }).click();
    await page.getByText("Subscribed to # at").waitFor();
    await page.getByLabel("Topic", { exact: true }).fill("echo/two");
    await page.getByLabel("Payload", { exact: true }).fill("with properties");
    const send = page.locator("form.send");
    await send.getByText("Properties of MQTT 5").click();
    await send.getByLabel("Correlation Data").fill("c-3");
    await send.getByLabel("Content Type").fill("text/x");
    await send.getByRole("button", { name: "Add" }).click();
    await send.getByLabel("Name").fill("shape");
    await send.getByLabel("Value").fill("round");
    await send.getByRole("button", { name: "Send" }).click();
    const echo = page.locator(".bubble:not(.is-own)", { hasText: "echo/two" }).last();
    await echo.getByText("shape: round").waitFor();
    await echo.getByText("c-3").waitFor();
    await echo.getByText("text/x").waitFor();
    await page.locator(".bubble:not(.is-own)", { hasText: /echo\/two.*matches (echo\/\+|#)/ }).last().waitFor();
    // its connection is lost: the Will is published with all that it has
    await api("DELETE", "clients/full-client");
    await page.getByText(/The broker disconnected with 0x/).waitFor();
    await until(() => /test\/will\|gone\|colour:black\|rpc\/will\|c-2/.test(heard), `mosquitto_sub: ${heard}`);
    await api("DELETE", "clients/full-client?session=end");
    await page.evaluate(() => localStorage.clear());
    await page.reload();
});

await test("CBOR, MessagePack, Protocol Buffers and Sparkplug B are decoded", async () => {
    const told = await page.evaluate(async () => {
        const hex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
        const load = (name) => import(`${location.pathname}decoders/${name}.js`);
        const [cbor, msgpack, protobuf, sparkplug] = await Promise.all(["cbor", "msgpack", "protobuf", "sparkplug"].map(load));
        const proto = "syntax = \"proto3\"; package a.b; message M { int32 a = 1; repeated int32 b = 2; map<string, int32> c = 3; Inner d = 4; enum E { X = 0; Y = 1; } E e = 5; message Inner { string s = 1; sint32 z = 2; } }";
        const broken = [];
        for (const { decode } of [cbor, msgpack, sparkplug]) {
            // any bytes are answered
            for (let first = 0; first < 256; first += 1) {
                for (const rest of ["", "00", "ffffffffffffffffff"]) {
                    try {
                        decode(hex(first.toString(16).padStart(2, "0") + rest));
                    } catch (error) {
                        if (!(error instanceof Error) || error instanceof TypeError) broken.push(String(error));
                    }
                }
            }
        }
        return JSON.stringify([
            cbor.decode(hex("a26161016162820203")),
            cbor.decode(hex("9f018202039f0405ffff")),
            cbor.decode(hex("f93c00")),
            msgpack.decode(hex("82a7636f6d70616374c3a6736368656d6100")),
            msgpack.decode(hex("d6ff514b67b0")),
            protobuf.decode(hex("08960112030102031a050a016b100722050a017310032801"), { text: proto, message: "M" }),
            // timestamp 1, one metric "t" of Int16 with -2, seq 7
            sparkplug.decode(hex("0801" + "1209" + "0a0174" + "2002" + "50feff03" + "1807")),
            broken,
        ]);
    });
    const [a, b, c, d, e, f, g, broken] = JSON.parse(told);
    expect(JSON.stringify([a, b, c, d]) === '[{"a":1,"b":[2,3]},[1,[2,3],[4,5]],1,{"compact":true,"schema":0}]', told);
    expect(e === "2013-03-21T20:04:00.000Z", told);
    expect(JSON.stringify(f) === '{"a":150,"b":[1,2,3],"c":{"k":7},"d":{"s":"s","z":-2},"e":"Y"}', told);
    expect(g.metrics[0].value === -2 && g.metrics[0].datatype === "Int16" && g.seq === 7 && g.timestamp.startsWith("1970"), told);
    expect(!broken.length, broken.join("\n"));
});

const HOSTILE = [
    "<img src=x onerror=alert(1)><script>alert(2)</script>",
    "\u202egnp.exe\u202c \u0007\u001b[31m \u200b",
    "{\"__proto__\": {\"a\": 1}, \"constructor\": \"<b>x</b>\"}",
];
await test("foreign text is shown as text", async () => {
    for (const [at, text] of HOSTILE.entries()) publish(`hostile/${at}/${text.replace(/[+#\u0007\u001b\u0000-\u001f]/g, "")}`, text, "-r");
    execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", port, "-t", "hostile/long", "-s", "-r"], { input: "<i>é".repeat(250_000) });
    execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", port, "-t", "hostile/deep", "-s", "-r"], { input: "[".repeat(4000) + "]".repeat(4000) });
    const client = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "<img src=x onerror=alert(3)>", "-u", "<script>alert(4)</script>", "-t", "<b>/#"]);
    try {
        await until(() => clientIs("<img src=x onerror=alert(3)>"), "the client connects");
        for (const name of ["overview", "clients", `clients/${encodeURIComponent("<img src=x onerror=alert(3)>")}`, "topics", `messages/${encodeURIComponent("hostile/#")}`, "retained", "sessions", "log"]) {
            await show(page, name);
            await page.waitForTimeout(400);
            for (const entry of await page.locator("[role=option]").all()) await entry.click();
        }
        for (const { topic } of (await api("GET", "retained?filter=hostile/%23")).data) {
            await page.goto(`${url}/#/topics/${encodeURIComponent(topic)}`);
            await page.locator(".detail .tabs").first().waitFor();
            for (const view of ["Text", "Hex"]) {
                const button = page.locator(".detail").getByRole("button", { name: view });
                if (await button.count()) await button.click();
            }
        }
        expect(!(await page.locator("main img, main script, main i.x").count()), "an element came out of a text");
    } finally {
        client.kill();
    }
});

await test("the menu and the tree are used by keyboard alone", async () => {
    await show(page, "overview");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    for (let n = 0; n < 40; n += 1) {
        await page.keyboard.press("Shift+Tab");
        if ((await page.evaluate(() => document.activeElement?.textContent)) === "Topics") break;
    }
    await page.keyboard.press("Enter");
    await page.getByRole("tree").waitFor();
    await page.getByRole("tree").focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await until(() => page.url().includes("#/topics/"), "a topic is chosen");
});

// at once: each has a core
await Promise.all(["light", "dark"].map((theme) =>
    test(`axe finds nothing against WCAG 2.2 AA, ${theme}`, async () => {
        const other = await open({ colorScheme: theme, reducedMotion: "reduce", bypassCSP: true });
        const found = [];
        for (const name of [...PAGES, `topics/${encodeURIComponent("home/lamp")}`, "clients/watcher"]) {
            await show(other, name);
            await other.waitForTimeout(250);
            await other.evaluate(axe);
            const { violations } = await other.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
            found.push(...violations.map(({ id, nodes }) => `${name}: ${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} (${any[0]?.message ?? ""})`).join("; ")}`));
        }
        await other.context().close();
        expect(!found.length, found.join("\n"));
    }),
));

await test("nothing is cut off at a phone's width", async () => {
    const other = await open({ viewport: { width: 390, height: 844 } });
    for (const name of [...PAGES, `topics/${encodeURIComponent("home/lamp")}`, "clients/watcher"]) {
        await show(other, name);
        await other.waitForTimeout(300);
        const width = await other.evaluate(() => document.documentElement.scrollWidth);
        expect(width <= 390, `${name} is ${width} pixels wide`);
    }
    await other.getByRole("button", { name: "Menu" }).click();
    await other.getByRole("link", { name: "Messages" }).click();
    await other.getByRole("heading", { name: "Messages" }).waitFor();
    await other.context().close();
});

// with logins: URL and port of a broker with the users vera (viewer), otto (operator) and ada (admin)
const enter = async (page, user, password) => {
    await page.getByLabel("User name").fill(user);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in", exact: true }).click();
};

await test("a wrong login is refused, and says so", async () => {
    const other = await open();
    await other.goto(lockedUrl);
    for (const wrong of ["wrong", "vera's secre"]) {
        const [response] = await Promise.all([
            other.waitForResponse((response) => response.url().endsWith("api/v1/session") && response.request().method() === "POST"),
            enter(other, "vera", wrong),
        ]);
        expect(response.status() === 401, `${response.status()}`);
        // with Basic, a browser would show its own login form
        expect(!/basic/i.test(response.headers()["www-authenticate"] ?? ""), "Basic is asked for");
        await other.getByRole("alert").waitFor();
    }
    await other.context().close();
});

await test("a viewer sees topics and no payload, and nothing that a viewer may not do", async () => {
    execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", lockedPort, "-u", "otto", "-P", "otto's secret", "-t", "secret/topic", "-m", "secret-payload", "-r"]);
    const other = await open();
    await other.goto(lockedUrl);
    await enter(other, "vera", "vera's secret");
    await other.getByRole("heading", { name: "Overview" }).waitFor();
    expect(!(await other.getByRole("link", { name: "Messages" }).count()), "a viewer is shown the messages");
    await other.goto(`${lockedUrl}/#/topics/${encodeURIComponent("secret/topic")}`);
    await other.getByRole("treeitem", { name: /^topic/ }).waitFor();
    await other.getByText("Values are shown to operators").waitFor();
    expect(!(await other.content()).includes("secret-payload"), "the payload is on the page");
    const streamed = await other.evaluate(async () => {
        const response = await fetch("api/v1/live?topics=%23");
        const reader = response.body.getReader();
        let text = "";
        while (!text.includes("event: topics")) text += new TextDecoder().decode((await reader.read()).value);
        const refused = await Promise.all(["watch=a", "messages=%23", "record=%23"].map((query) => fetch(`api/v1/live?${query}`)));
        return [text, ...refused.map(({ status }) => status)];
    });
    expect(!streamed[0].includes("secret-payload") && streamed.slice(1).every((status) => status === 403), JSON.stringify(streamed));
    await other.getByRole("button", { name: "Log out" }).click();
    await other.getByLabel("User name").waitFor();
    await other.context().close();
});

await test("an admin makes a key, by which a page logs in, and writes need the header that other pages do not know", async () => {
    const other = await open();
    await other.goto(lockedUrl);
    await enter(other, "ada", "ada's secret");
    await other.getByRole("link", { name: "Users & rules" }).click();
    await other.getByRole("button", { name: "Keys", exact: true }).click();
    await other.getByLabel("Name", { exact: true }).fill("script");
    await other.getByRole("button", { name: "Save" }).click();
    await other.getByRole("cell", { name: "script", exact: true }).waitFor();
    const key = (await other.locator(".copy pre").innerText()).trim();
    const without = await other.evaluate(async () => (await fetch("api/v1/keys", { method: "POST", body: JSON.stringify({ name: "x", role: "viewer" }) })).status);
    expect(without === 403, `a write without the header answers ${without}`);
    for (const name of ["settings", "log", "users"]) {
        await other.goto(`${lockedUrl}/#/${name}`);
        await other.locator("h1").first().waitFor();
        await other.waitForTimeout(300);
        expect(!(await other.getByRole("alert").count()), `${name}: ${await other.locator("main").innerText()}`);
    }
    await other.getByRole("button", { name: "Log out" }).click();
    await other.getByRole("button", { name: "Use a key" }).click();
    await other.getByLabel("Key").fill(key);
    await other.getByRole("button", { name: "Log in", exact: true }).click();
    await other.getByText("There is no such page").waitFor();
    await other.goto(`${lockedUrl}/#/overview`);
    await other.getByRole("heading", { name: "Overview" }).waitFor();
    expect(!(await other.getByRole("link", { name: "Users & rules" }).count()), "a viewer is shown the keys");
    await other.context().close();
});

const readonlyUrl = process.env.CONSOLE_READONLY;
const tools = { test, expect, until, open, enter, launch, show, publish, api, clientIs, axe, own, page, heard: () => heard, url, port, lockedUrl, lockedPort, readonlyUrl };
for (const part of ["more", "access", "client", "pages", "keys", "load"]) await (await import(`./console_${part}.mjs`)).default(tools);

// Each page at each width in both themes; and what is seen before there is anything.
const ADMIN = [["users", "Users"], ["users", "Rules"], ["users", "Keys"], ["bans"], ["settings"], ["log", "Log"], ["log", "Requests that wrote"]];
if (shots) {
    for (const theme of ["light", "dark"]) {
        for (const [width, height] of [[1280, 860], [390, 844]]) {
            const other = await open({ viewport: { width, height }, colorScheme: theme });
            const shoot = async (name) => {
                await other.waitForTimeout(1200);
                await other.screenshot({ path: `${shots}/${name}-${width}-${theme}.png` });
            };
            for (const name of [...PAGES, "topics/home%2Flamp", "clients/watcher"]) {
                await show(other, name);
                await shoot(name.replaceAll(/\W/g, "-"));
            }
            await other.goto(lockedUrl);
            await shoot("login");
            await enter(other, "ada", "ada's secret");
            await other.getByRole("heading", { name: "Overview" }).waitFor();
            await shoot("first");
            for (const [name, part] of ADMIN) {
                await other.goto(`${lockedUrl}/#/${name}`);
                await other.locator("h1").first().waitFor();
                if (part) await other.getByRole("button", { name: part, exact: true }).click();
                await shoot(`admin-${name}-${part ?? ""}`.replaceAll(/\W/g, "-"));
            }
            await other.context().close();
        }
    }
}

sub.kill();
await browser.close();
process.exitCode = failures ? 1 : 0;
