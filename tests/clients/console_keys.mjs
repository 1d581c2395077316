// The pages by keyboard alone: the tests here never click. And texts of clients that are hostile, as they come over MQTT.
// For console.mjs.
import { readFileSync } from "node:fs";
import { client, login, packet, text } from "./raw_mqtt.mjs";

// Presses Tab until what is focused has this name; gives how it is called.
export const reach = async (page, name, key = "Tab") => {
    const seen = [];
    for (let n = 0; n < 150; n += 1) {
        await page.keyboard.press(key);
        const now = await page.evaluate(() => {
            const one = document.activeElement;
            const label = one?.getAttribute("aria-label") ?? one?.closest("label.field, label.inline")?.querySelector("span")?.textContent ?? one?.labels?.[0]?.textContent ?? one?.textContent ?? "";
            // what is focused is seen
            const outline = one ? getComputedStyle(one).outlineStyle !== "none" || getComputedStyle(one).boxShadow !== "none" : false;
            return { label: label.trim().slice(0, 80), outline, tag: one?.tagName };
        });
        seen.push(now.label);
        if (name instanceof RegExp ? name.test(now.label) : now.label === name) {
            if (!now.outline) throw new Error(`${now.tag} ${name} has the focus, and does not show it`);
            return now.label;
        }
    }
    throw new Error(`Tab does not reach ${name}: ${seen.join(" | ")}`);
};

export default async ({ test, expect, until, open, enter, show, publish, api, url, port, lockedUrl }) => {
    const keys = (page, ...all) => all.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
    // a page that no pointer touches
    const byKeys = async (name) => {
        const page = await open();
        await page.addInitScript(() => addEventListener("pointerdown", () => (window.touched_ = true), true));
        await show(page, name);
        await page.locator("main").focus();
        return page;
    };
    const ends = async (page) => {
        expect(!(await page.evaluate(() => window.touched_)), "the test clicked");
        await page.context().close();
    };

    await test("the log of messages, the tree of JSON and a topic's history are used by keyboard alone", async () => {
        for (const n of [1, 2]) publish("keys/json", JSON.stringify({ deep: { value: n, list: [n, n] } }), "-r");
        const page = await byKeys(`messages/${encodeURIComponent("keys/#")}`);
        const rows = page.locator(".entry[role=option]");
        await until(async () => {
            publish("keys/log", `line ${Date.now()}`);
            return (await rows.count()) > 2;
        }, "messages");
        await reach(page, "Pause");
        await keys(page, "Enter");
        await page.getByRole("button", { name: "Go on" }).waitFor();
        await reach(page, "Direction");
        await reach(page, "Messages");
        await keys(page, "Home");
        await until(async () => (await rows.first().getAttribute("aria-selected")) === "true", "the first row");
        await page.locator(".detail").getByText("keys/json").waitFor();
        await keys(page, "ArrowDown");
        await until(async () => (await rows.nth(1).getAttribute("aria-selected")) === "true", "the second row");
        const chosen = await page.getByRole("listbox").getAttribute("aria-activedescendant");
        expect((await page.locator(`#${chosen}`).getAttribute("aria-selected")) === "true", `${chosen} is not what is read out`);
        await keys(page, "Home");
        await reach(page, "JSON");
        const branch = page.locator(".json button", { hasText: "deep" });
        await reach(page, /^▾ deep: {/);
        await keys(page, "Enter");
        await until(async () => (await branch.getAttribute("aria-expanded")) === "false", "it is closed");
        await keys(page, " ");
        await until(async () => (await branch.getAttribute("aria-expanded")) === "true", "it is open");

        await page.goto(`${url}/#/topics/${encodeURIComponent("keys/json")}`);
        await page.locator(".history tr").first().waitFor();
        publish("keys/json", JSON.stringify({ deep: { value: 3 } }), "-r");
        await page.locator(".history tr").nth(1).waitFor();
        await page.locator("main").focus();
        await reach(page, "Copy topic");
        // the second entry of the history is the older one
        await reach(page, /^\d\d:\d\d:\d\d/);
        await reach(page, /^\d\d:\d\d:\d\d/);
        await keys(page, "Enter");
        await page.locator(".detail .json", { hasText: "value: 2" }).waitFor();
        await ends(page);
    });

    await test("a message is published and recorded, retained ones are deleted, by keyboard alone", async () => {
        const page = await byKeys("record");
        await reach(page, "Topic Filter");
        await keys(page, "Control+A");
        await page.keyboard.type("keys/#");
        await reach(page, "Start recording");
        await keys(page, "Enter");
        await page.getByRole("button", { name: "Stop" }).waitFor();
        await page.goto(`${url}/#/publish`);
        await page.getByLabel("Topic", { exact: true }).waitFor();
        await page.locator("main").focus();
        await reach(page, "Topic");
        await page.keyboard.type("keys/published");
        await reach(page, "Payload");
        await page.keyboard.type("by keys");
        await reach(page, "QoS 1");
        await keys(page, " ");
        await reach(page, "Retain");
        await keys(page, " ");
        await reach(page, "Properties of MQTT 5");
        await keys(page, "Enter");
        await reach(page, "Content Type");
        await page.keyboard.type("text/plain");
        await reach(page, "Publish");
        await keys(page, "Enter");
        await page.getByText("Published to").waitFor();
        const [kept] = (await api("GET", "retained?filter=keys/published")).data;
        expect(kept?.qos === 1, JSON.stringify(kept));
        await page.goto(`${url}/#/record`);
        await page.getByText(/[1-9] messages?,/).first().waitFor();
        await page.locator("main").focus();
        await reach(page, "Stop");
        await keys(page, "Enter");
        await page.getByRole("button", { name: "Start recording" }).waitFor();
        await page.locator("main").focus();
        await reach(page, "Download");
        const [download] = await Promise.all([page.waitForEvent("download"), keys(page, "Enter")]);
        expect(readFileSync(await download.path(), "utf8").includes("by keys"), "the recording has it");
        await page.goto(`${url}/#/retained`);
        await page.getByLabel("Topic Filter").waitFor();
        await page.locator("main").focus();
        await reach(page, "Topic Filter");
        await keys(page, "Control+A");
        await page.keyboard.type("keys/#");
        await keys(page, "Enter");
        await page.getByRole("link", { name: "keys/published" }).waitFor();
        await page.locator("main").focus();
        await reach(page, "Delete all that match");
        await keys(page, "Enter");
        await page.getByRole("dialog").waitFor();
        await reach(page, /^Delete \d messages/);
        await keys(page, "Enter");
        await page.getByText("No retained message matches").waitFor();
        await ends(page);
    });

    await test("the client connects, subscribes and sends by keyboard alone", async () => {
        const page = await byKeys("client");
        await reach(page, "Client Identifier");
        await page.keyboard.type("typist");
        await reach(page, "User name");
        await reach(page, "Password");
        await reach(page, "MQTT");
        await reach(page, "More options");
        await keys(page, "Enter");
        await reach(page, "Keep Alive (s)");
        await reach(page, "Connect");
        await keys(page, "Enter");
        await page.getByText("Connected as typist").waitFor();
        await page.locator("main").focus();
        await reach(page, "Topic Filter");
        await keys(page, "Control+A");
        await page.keyboard.type("typed/+");
        await keys(page, "Enter");
        await page.getByText("Subscribed to typed/+").waitFor();
        await page.locator("main").focus();
        await reach(page, "Topic");
        await keys(page, "Control+A");
        await page.keyboard.type("typed/one");
        await reach(page, "Payload");
        await keys(page, "Control+A");
        await page.keyboard.type("by keys");
        await keys(page, "Control+Enter");
        await page.locator(".bubble:not(.is-own)", { hasText: "by keys" }).waitFor();
        await page.locator("main").focus();
        await reach(page, "Hex");
        await keys(page, "Enter");
        await page.locator(".is-hex", { hasText: "62 79 20 6b 65 79 73" }).waitFor();
        await page.locator("main").focus();
        await reach(page, "Unsubscribe typed/+");
        await keys(page, "Enter");
        await page.getByText("Unsubscribed from typed/+").waitFor();
        await page.locator("main").focus();
        await reach(page, "Disconnect");
        await keys(page, "Enter");
        await page.getByText("The connection ended").waitFor();
        await ends(page);
    });

    await test("clients are sorted and disconnected, sessions ended, colours chosen, by keyboard alone", async () => {
        const socket = await client(port, "by-keys");
        const away = await client(port, "keys-away", false);
        away.end(packet(0xe0));
        const page = await byKeys("clients");
        await page.getByRole("link", { name: "by-keys" }).waitFor();
        await reach(page, "Client Identifier begins with…");
        await page.keyboard.type("by-k");
        await reach(page, /^In flight/);
        await keys(page, "Enter");
        await page.locator("th[aria-sort=descending]", { hasText: "In flight" }).waitFor();
        await reach(page, "by-keys");
        await keys(page, "Enter");
        await page.getByRole("heading", { name: "by-keys" }).waitFor();
        await page.locator("main").focus();
        await reach(page, "Disconnect");
        await keys(page, "Enter");
        await page.getByRole("dialog").waitFor();
        await reach(page, "Disconnect");
        await keys(page, "Enter");
        await until(async () => (await api("GET", "closed-clients")).data.some((one) => one.client_id === "by-keys"), "it is closed");
        await page.goto(`${url}/#/sessions`);
        await page.getByRole("row", { name: /keys-away/ }).first().waitFor();
        await page.locator("main").focus();
        await reach(page, "End");
        await keys(page, "Enter");
        await page.getByRole("dialog").waitFor();
        await reach(page, "End session");
        await keys(page, "Enter");
        await until(async () => !(await api("GET", "clients?state=away")).data.some((one) => one.client_id === "keys-away"), "the session has ended");
        await page.locator("main").focus();
        await reach(page, "Dark", "Shift+Tab");
        await keys(page, "Enter");
        expect((await page.evaluate(() => document.documentElement.dataset.theme)) === "dark", "it is not dark");
        await ends(page);
        socket.destroy();
    });

    const HTML = "<img src=x onerror=alert(6)>";
    const CONTROLS = "\u202eexe\u2066.\u0085\u0007\u001b[31m";
    await test("Client Identifiers and user names that are HTML, turned text, controls and very long are text, and break no page", async () => {
        const page = await open();
        const names = [HTML, `turned-${CONTROLS}`, `long-${"ab ".repeat(3000)}`, `/${"x".repeat(9000)}`];
        const sockets = [];
        try {
            const shown = [];
            for (const [at, name] of names.entries()) {
                // a broker may refuse such a client, and says so
                const socket = await login(port, name, `${at}-${name}`);
                sockets.push(socket);
                if (socket.told[3] === 0) shown.push(name);
                socket.write(packet(0x82, Buffer.from([0, 1]), text(`${HTML}/#`), Buffer.from([1])));
                socket.write(packet(0x30, text(`names/${at}`), Buffer.from(HTML)));
            }
            expect(shown.includes(names[0]) && shown.includes(names[2]), `accepted: ${shown.map((name) => name.slice(0, 20))}`);
            await api("POST", "traces", { client_id: HTML, for: "1m" });
            const clean = async (name) => {
                await page.waitForTimeout(250);
                expect(!(await page.locator("main img, main script").count()), `${name}: an element came out of a text`);
                expect((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${name} is wider than the window`);
                // no character of a text turns or ends a line: what turns is shown by its number, or isolated
                expect(!(await page.evaluate(() => /[\u0007\u001b\u0085]/.test(document.querySelector("main").innerText))), `${name}: a control character is on the page`);
            };
            const lists = ["overview", "clients", `messages/${encodeURIComponent("names/#")}`, "sessions", "log", "traces"];
            const each = shown.flatMap((one) => [`clients/${encodeURIComponent(one)}`, `traces/of/${encodeURIComponent(one)}`]);
            for (const [width, all] of [[1280, [...lists, ...each]], [390, ["clients", "traces", ...each]]]) {
                await page.setViewportSize({ width, height: 860 });
                for (const name of all) {
                    await show(page, name);
                    await clean(`${name.slice(0, 40)} at ${width}`);
                }
            }
            await page.setViewportSize({ width: 1280, height: 860 });
            await show(page, "clients");
            for (const name of shown) await page.locator("tbody a", { hasText: name.slice(0, 6) }).first().waitFor();
            await page.getByText(`0-${HTML}`).first().waitFor();
            await show(page, `clients/${encodeURIComponent(HTML)}`);
            await page.getByRole("button", { name: "Disconnect" }).click();
            await page.getByRole("dialog").getByText(HTML).waitFor();
            await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
            await page.getByText("This client does not exist").waitFor();
        } finally {
            sockets.forEach((socket) => socket.destroy());
            for (const { id } of (await api("GET", "traces")).data) await fetch(`${url}/api/v1/traces/${id}`, { method: "DELETE" });
        }
        await page.context().close();
    });
};
