// Pages of the web console in chromium, for tests/clients/console_others: node console_others.mjs URL PORT, the same of
// `dunlin test`, and of a broker with logins.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { reach } from "./console_keys.mjs";
import { login, packet, text } from "./raw_mqtt.mjs";

const require = createRequire(`${process.env.CONSOLE_ROOT}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, port, benchUrl, benchPort, guardedUrl, guardedPort] = process.argv.slice(2);
const shots = process.env.DUNLIN_SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

const publish = (at, topic, payload, ...more) => execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", at, "-t", topic, "-m", payload, "-q", "1", ...more]);

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const complaints = [];
const open = async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    // the browser itself reports that a login is asked for
    const isComplaint = (message) => ["error", "warning"].includes(message.type()) && !message.text().includes("status of 401");
    page.on("console", (message) => isComplaint(message) && complaints.push(`${page.url()}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.stack}`));
    return page;
};

let failures = 0;
const only = new RegExp(process.env.DUNLIN_CONSOLE_ONLY ?? "");
const test = async (name, body) => {
    if (!only.test(name)) return;
    const before = complaints.length;
    try {
        await body();
        if (complaints.length > before) throw new Error(complaints.slice(before).join("\n"));
        console.log(`ok     ${name}`);
    } catch (error) {
        failures += 1;
        console.log(`FAILED ${name}: ${error.stack ?? error}`);
    }
};
const expect = (is, text) => {
    if (!is) throw new Error(text);
};
const fault = async (at, body) => {
    const set = await fetch(`${at}/test/v1/faults`, { method: "POST", body: JSON.stringify(body) });
    expect(set.status === 200, await set.text());
};
const show = async (page, at, name) => {
    await page.goto(`${at}/#/${name}`);
    await page.locator("h1").first().waitFor();
};

const page = await open();

await test("a trace is started, followed, stopped, downloaded and removed", async () => {
    await show(page, url, "traces");
    await page.getByText("No traces").waitFor();
    await page.getByLabel("Client", { exact: true }).fill("lamp");
    await page.getByLabel("With payloads").check();
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByText("No packets yet").waitFor();
    publish(port, "home/lamp", "<b>on</b>", "-i", "lamp");
    await page.locator(".events").getByText("disconnected").waitFor();
    const text = await page.locator(".events").innerText();
    expect(["CONNECT", "CONNACK", "PUBLISH", "PUBACK", "payload=<b>on</b>"].every((word) => text.includes(word)), text);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("ended", { exact: true }).waitFor();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: /Download/ }).click()]);
    const lines = readFileSync(await file.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
    expect(lines[0].dunlin === "recording" && lines.some((line) => line.payload === "<b>on</b>"), JSON.stringify(lines));
    await page.getByRole("button", { name: /Remove trace/ }).click();
    await page.getByText("No traces").waitFor();
});

await test("a client's page of traces asks for that client", async () => {
    await show(page, url, `traces/of/${encodeURIComponent("a/b <i>")}`);
    await page.locator("input.mono").waitFor();
    expect((await page.locator("input.mono").inputValue()) === "a/b <i>", await page.locator("input.mono").inputValue());
});

await test("a bridge and a webhook that do not reach the other side say why", async () => {
    await show(page, url, "links");
    await page.getByText("upward", { exact: true }).waitFor();
    await page.getByText("centre", { exact: true }).waitFor();
    publish(port, "up/1", "x");
    await page.getByText(/refused/i).first().waitFor();
    await page.locator("tr", { hasText: "centre" }).getByText("failing").waitFor();
});

await test("a bridge is paused and goes on", async () => {
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("tr", { hasText: "upward" }).getByText("paused").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("button", { name: "Pause" }).waitFor();
});

await test("sinks show what they wrote, and why they cannot write", async () => {
    await show(page, url, "links");
    await page.getByText("File sinks", { exact: true }).waitFor();
    const cell = (sink, column) => page.locator("tr", { hasText: sink }).locator(`td[data-name="${column}"]`);
    const written = Number(await cell("archive", "Written").innerText());
    publish(port, "up/2", "x");
    await cell("archive", "Written").getByText(String(written + 1), { exact: true }).waitFor();
    await page.locator("tr", { hasText: "archive" }).getByText("working").waitFor();
    expect((await cell("archive", "Queued").innerText()) === "0", "messages are queued");
    const lost = page.locator("tr", { hasText: "lost-disk" });
    await lost.getByText("failing").waitFor();
    await lost.getByText(/No such file or directory/).waitFor();
    // two messages, of this test and of the one before
    await cell("lost-disk", "Queued").getByText("2", { exact: true }).waitFor();
    expect((await cell("lost-disk", "Written").innerText()) === "0", "it has written");
    expect(!(await page.getByText("Login services").count()), "there is none");
});

await test("a login service that is down says why, without its key", async () => {
    const other = await open();
    await other.goto(guardedUrl);
    await other.getByLabel("User name").fill("vera");
    await other.getByLabel("Password").fill("vera's secret");
    await other.getByRole("button", { name: "Log in", exact: true }).click();
    await other.getByRole("heading", { name: "Overview" }).waitFor();
    await show(other, guardedUrl, "links");
    const office = other.locator("tr", { hasText: "office" });
    await office.getByText("working").waitFor();
    let refused = false;
    try {
        publish(guardedPort, "a", "x", "-u", "nobody", "-P", "x");
    } catch {
        refused = true;
    }
    expect(refused, "nobody is let in");
    await office.getByText("failing").waitFor();
    await office.getByText(/refused/i).waitFor();
    const cell = (column) => office.locator(`td[data-name="${column}"]`);
    const numbers = await Promise.all(["Requests", "Failed", "Cache hits"].map((column) => cell(column).innerText()));
    expect(Number(numbers[0]) > 0 && numbers[0] === numbers[1] && numbers[2] === "0", JSON.stringify(numbers));
    expect(!(await other.locator("main").innerText()).includes("hidden"), "its key is shown");
    await other.context().close();
});

await test("the bench is under dunlin test alone", async () => {
    expect(!(await page.getByRole("link", { name: "Test bench" }).count()), "it is in the menu");
});

await test("faults are set, hit and removed, and the clock is turned", async () => {
    await show(page, benchUrl, "overview");
    await page.getByRole("link", { name: "Test bench" }).click();
    await page.getByText("No faults are set").waitFor();
    const set = await fetch(`${benchUrl}/test/v1/faults`, { method: "POST", body: JSON.stringify({ when: { packet: "PUBACK", times: 1 }, do: "duplicate" }) });
    expect(set.status === 200, await set.text());
    await page.getByText("duplicate").first().waitFor();
    publish(benchPort, "home/lamp", "on", "-i", "lamp");
    await page.locator(".events").getByText("lamp", { exact: true }).waitFor();
    await page.locator(".events").getByText("PUBACK").waitFor();
    await page.getByLabel("Advance by").fill("25h");
    await page.getByRole("button", { name: "Advance", exact: true }).click();
    await page.getByText(/1day.* ahead/).waitFor();
    await page.getByRole("button", { name: /^Remove/ }).first().click();
    await page.getByText("No faults are set").waitFor();
});

await test("the client page connects to the test bench, also after the broker was restarted", async () => {
    const other = await open();
    for (const id of ["before", "after"]) {
        await show(other, benchUrl, "client");
        await other.getByLabel("Client Identifier").fill(id);
        await other.getByRole("button", { name: "Connect", exact: true }).click();
        await other.getByText(`Connected as ${id}`).waitFor();
        await other.getByLabel("Topic Filter").fill("bench/#");
        await other.getByRole("button", { name: "Subscribe", exact: true }).click();
        await other.getByText("Subscribed to bench/#").waitFor();
        publish(benchPort, "bench/one", `heard ${id}`);
        await other.locator(".bubble", { hasText: `heard ${id}` }).waitFor();
        // faults concern it as any client
        await fault(benchUrl, { when: { packet: "PUBLISH", direction: "to_server", client: id, times: 1 }, do: "close" });
        await other.getByRole("button", { name: "Send" }).click();
        await other.getByText("The connection ended").waitFor();
        await fetch(`${benchUrl}/test/v1/faults`, { method: "DELETE" });
        const restarted = await fetch(`${benchUrl}/test/v1/restart`, { method: "POST", body: "{}" });
        expect(restarted.status === 200, await restarted.text());
        await other.evaluate(() => localStorage.clear());
        await other.reload();
    }
    await other.context().close();
});

const HTML = "<img src=x onerror=alert(7)>";
const TURNED = "\u202eexe\u2066.\u0085";
await test("hostile texts of clients are text on the pages of traces, links and the bench", async () => {
    const other = await open();
    const clean = async (name) => {
        for (const width of [1280, 390]) {
            await other.setViewportSize({ width, height: 860 });
            await other.waitForTimeout(200);
            expect(!(await other.locator("main img, main script").count()), `${name}: an element came out of a text`);
            const wide = await other.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            expect(wide <= 0, `${name} is ${wide} pixels too wide`);
        }
    };
    const topic = `${HTML}${TURNED}/${"very-long".repeat(300)}`;
    await show(other, url, "traces");
    await other.getByLabel("Client", { exact: true }).fill(HTML);
    await other.getByLabel("With payloads").check();
    await other.getByRole("button", { name: "Start", exact: true }).click();
    await other.getByText("No packets yet").waitFor();
    const client = await login(port, HTML, `${HTML}${TURNED}`);
    client.write(packet(0x30, text(topic), Buffer.from(`${HTML}${TURNED}${"x".repeat(20_000)}`)));
    await other.locator(".events", { hasText: "PUBLISH" }).waitFor();
    await other.getByText(HTML).first().waitFor();
    await clean("traces");
    await other.getByRole("button", { name: /Remove trace/ }).click();
    client.destroy();
    await show(other, url, "links");
    await clean("links");
    await fault(benchUrl, { name: `${HTML}${"very-long".repeat(50)}`, when: { packet: "PUBLISH", direction: "to_server" }, do: { delay: "1ms" } });
    const hit = await login(benchPort, `${HTML}${TURNED}`, HTML);
    if (hit.told[3] === 0) hit.write(packet(0x30, text(topic), Buffer.from(HTML)));
    const plain = await login(benchPort, HTML, HTML);
    plain.write(packet(0x30, text(topic), Buffer.from(HTML)));
    await show(other, benchUrl, "bench");
    await other.locator(".events").getByText(HTML).first().waitFor();
    await clean("bench");
    for (const socket of [hit, plain]) socket.destroy();
    await fetch(`${benchUrl}/test/v1/faults`, { method: "DELETE" });
    await other.context().close();
});

await test("traces, bridges and the bench are used by keyboard alone", async () => {
    const other = await open();
    const focus = async (at, name) => {
        await show(other, at, name);
        await other.locator("main").focus();
    };
    await focus(url, "traces");
    await reach(other, "Client");
    await other.keyboard.type("lamp");
    await reach(other, "Start");
    await other.keyboard.press("Enter");
    await other.getByText("No packets yet").waitFor();
    await other.locator("main").focus();
    await reach(other, "Stop");
    await other.keyboard.press("Enter");
    await other.getByText("ended", { exact: true }).waitFor();
    await other.locator("main").focus();
    await reach(other, /^Remove trace/);
    await other.keyboard.press("Enter");
    await other.getByText("No traces").waitFor();
    await focus(url, "links");
    await reach(other, "Pause");
    await other.keyboard.press("Enter");
    await other.locator("tr", { hasText: "upward" }).getByText("paused").waitFor();
    await other.locator("main").focus();
    await reach(other, "Resume");
    await other.keyboard.press("Enter");
    await other.getByRole("button", { name: "Pause" }).waitFor();
    await focus(benchUrl, "bench");
    await reach(other, /^Advance/);
    await other.keyboard.press("Control+A");
    await other.keyboard.type("49h");
    await other.keyboard.press("Enter");
    await other.getByText(/days.* ahead/).waitFor();
    await other.locator("main").focus();
    await reach(other, "Set");
    await other.keyboard.press("Enter");
    await other.getByRole("button", { name: /^Remove/ }).first().waitFor();
    await other.locator("main").focus();
    await reach(other, /^Remove/);
    await other.keyboard.press("Enter");
    await other.getByText("No faults are set").waitFor();
    await other.context().close();
});

for (const [at, name] of [[url, "traces"], [url, "links"], [benchUrl, "bench"]]) {
    await test(`${name}: no violation of WCAG 2.2 AA, and nothing is cut off at a phone's width`, async () => {
        for (const theme of ["light", "dark"]) {
            const other = await open({ bypassCSP: true });
            await show(other, at, name);
            await other.evaluate((theme) => (document.documentElement.dataset.theme = theme), theme);
            await other.waitForTimeout(500);
            await other.evaluate(axe);
            const { violations } = await other.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
            expect(!violations.length, `${theme}: ${JSON.stringify(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))}`);
            if (shots) await other.screenshot({ path: `${shots}/${name}-${theme}-1280.png`, fullPage: true });
            await other.context().close();
        }
        const small = await open({ viewport: { width: 390, height: 844 } });
        await show(small, at, name);
        await small.waitForTimeout(500);
        const wide = await small.evaluate(() => document.documentElement.scrollWidth);
        expect(wide <= 390, `${wide} pixels`);
        if (shots) await small.screenshot({ path: `${shots}/${name}-390.png`, fullPage: true });
        await small.context().close();
    });
}

await browser.close();
process.exit(failures > 0 ? 1 : 0);
