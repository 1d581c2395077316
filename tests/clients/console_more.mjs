// What the other tests leave: the ways to write a payload, what the log of messages finds, conditions in words, a page
// behind a path, foreign text on the other pages, and axe on those that need a login. For console.mjs.
import { execFileSync } from "node:child_process";
import { createServer, request } from "node:http";
import { connect } from "node:net";

export default async ({ test, expect, until, open, show, enter, publish, api, axe, own, page, heard, url, port, lockedUrl, readonlyUrl }) => {
    await test("a payload is JSON that is checked, hex, base64 or a file; it is saved, used again and repeated", async () => {
        await show(page, "publish");
        const form = page.locator("form").first();
        const send = () => form.getByRole("button", { name: "Publish", exact: true }).click();
        await page.getByLabel("Topic", { exact: true }).fill("test/forms");
        for (const [way, wrong, told, right, text] of [
            ["JSON", "{no", "Not JSON", "[1, 2]", "[1, 2]"],
            ["Hex", "0x4", "Pairs of hexadecimal digits", "0x68 65:78", "hex"],
            ["Base64", "*", "This is not base64", "YmFzZQ==", "base"],
        ]) {
            await form.getByRole("button", { name: way, exact: true }).click();
            await page.getByLabel("Payload", { exact: false }).first().fill(wrong);
            await send();
            await page.getByText(told).waitFor();
            await page.getByLabel("Payload", { exact: false }).first().fill(right);
            await send();
            await until(() => heard().includes(`test/forms|${text}|`), `mosquitto_sub: ${heard()}`);
        }
        await page.getByLabel("Name of the saved message").fill("base");
        await page.getByRole("button", { name: "Save", exact: true }).click();
        await form.getByRole("button", { name: "File", exact: true }).click();
        await send();
        await page.locator(".error", { hasText: "Choose a file" }).waitFor();
        await form.locator("input[type=file]").setInputFiles({ name: "a.bin", mimeType: "application/octet-stream", buffer: Buffer.from("from a file") });
        await send();
        await until(() => heard().includes("test/forms|from a file|"), `mosquitto_sub: ${heard()}`);
        await page.getByRole("button", { name: "Use", exact: true }).click();
        const count = () => heard().split("test/forms|base|").length - 1;
        const before = count();
        await page.getByLabel("Every seconds").fill("0.1");
        await page.getByRole("button", { name: "Repeat" }).click();
        await until(() => count() > before + 2, `mosquitto_sub: ${heard()}`);
        await page.getByRole("button", { name: "Stop" }).click();
        await page.getByRole("button", { name: "Delete base" }).click();
        await page.getByText("Nothing is saved yet").waitFor();
    });

    await test("the log of messages finds by QoS, retained, and what repeats a value; a payload is shown as bytes", async () => {
        await show(page, `messages/${encodeURIComponent("kinds/#")}`);
        const rows = page.locator(".entry");
        await until(async () => {
            publish("kinds/a", "same");
            return (await rows.count()) > 1;
        }, "the messages");
        publish("kinds/b", "other", "-r");
        execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", port, "-t", "kinds/c", "-m", "zero"]);
        await rows.filter({ hasText: "zero" }).waitFor();
        for (const [kind, is, isNot] of [["Same value again", "same", "other"], ["Retained", "other", "same"], ["QoS 0", "zero", "same"], ["QoS 1", "same", "zero"]]) {
            await page.getByLabel("Kind").selectOption(kind);
            await rows.filter({ hasText: is }).first().waitFor();
            expect(!(await rows.filter({ hasText: isNot }).count()), `${kind} finds ${isNot}`);
        }
        await page.getByLabel("Direction", { exact: true }).selectOption("In: from the broker");
        await page.getByText("No message matches the search").waitFor();
        await page.getByLabel("Direction", { exact: true }).selectOption("In: from clients");
        await rows.filter({ hasText: "other" }).first().click();
        await page.locator(".detail").getByRole("button", { name: "Hex" }).click();
        await page.locator(".detail .hex", { hasText: "6f 74 68 65 72" }).waitFor();
    });

    await test("a topic has its age in the tree, and its last hundred values", async () => {
        await page.goto(`${url}/#/topics/${encodeURIComponent("aged/one")}`);
        await page.getByText("Waiting for a message").waitFor();
        await until(async () => {
            for (let n = 0; n < 30; n += 1) await api("POST", "publish", { topic: "aged/one", payload: String(n) });
            return (await page.locator(".history tr").count()) === 100;
        }, "a hundred values");
        await page.getByRole("treeitem", { name: /^one/ }).locator(".age", { hasText: / s$/ }).waitFor();
        await page.locator(".detail .chart canvas").waitFor();
    });

    await test("drops are told in words, with the client that has them; a broker without clients says how to connect one", async () => {
        // its session keeps at most 500 messages
        execFileSync("mosquitto_sub", ["-h", "127.0.0.1", "-p", port, "-i", "slow<b>", "-c", "-q", "1", "-t", "slow", "-E"]);
        await api("POST", "publish", Array.from({ length: 503 }, (_, n) => ({ topic: "slow", payload: String(n), qos: 1 })));
        await show(page, "overview");
        await page.getByText("3 messages were dropped in the last quarter of an hour").waitFor();
        await page.locator(".notice").getByRole("link", { name: "slow<b>" }).click();
        await page.getByText("its queue was full").waitFor();
        await show(page, "sessions");
        await page.getByRole("row", { name: /slow<b>/ }).getByRole("button", { name: "End" }).click();
        await page.getByRole("dialog").getByRole("button", { name: "End session" }).click();
        await page.getByText("No session waits").waitFor();
        const other = await open();
        await other.goto(readonlyUrl);
        await enter(other, "ada", "ada's secret");
        await other.getByText("Connect the first client").waitFor();
        await other.locator("pre", { hasText: /mosquitto_sub -h 127\.0\.0\.1 -p \d+ -t '#' -v/ }).waitFor();
        await other.context().close();
    });

    await test("each condition of the broker is told in words, with what to do", async () => {
        await show(page, "overview");
        const told = await page.evaluate(async () => {
            const { conditions } = await import(`${location.pathname}pages/overview.js`);
            const well = { stopping: false, store: "ok", alarms: [], listeners: [], reload: { succeeded: true } };
            const soon = (days) => [{ address: "tls://a", certificate_ends_at: new Date(Date.now() + days * 86_400_000).toISOString() }];
            const of = (more, drops = 0) => conditions({ ...well, ...more }, drops, []).map(({ kind, title, more }) => `${kind} ${title}: ${more}`);
            return [of({}), of({ store: "full" }), of({ store: "stuck" }), of({ store: "failed" }), of({ listeners: soon(5) }), of({ listeners: soon(-1) }), of({ listeners: soon(90) }), of({ reload: { succeeded: false } }), of({ stopping: true })];
        });
        const expected = [[], /^bad The disk is full: .*Free space/, /^bad The store is stuck: .*Look at the disk/, /^bad The store has failed: .*The log has the reason/, /^warn The certificate of tls:\/\/a expires in [45] d.*: Replace the file/, /^bad The certificate of tls:\/\/a has expired: Replace/, [], /^warn The last reload failed: .*correct the file/, /^warn The broker is stopping/];
        expected.forEach((wanted, at) => expect(Array.isArray(wanted) ? !told[at].length : told[at].length === 1 && wanted.test(told[at][0]), `${at}: ${told[at]}`));
    });

    await test("a decoder is loaded when it is first used: Sparkplug B by its topic, Protocol Buffers by a schema that is opened", async () => {
        const other = await open();
        const loaded = new Set();
        other.on("request", (request) => /decoders\/\w+/.test(request.url()) && loaded.add(/decoders\/(\w+)/.exec(request.url())[1]));
        const send = (topic, hex) => api("POST", "publish", { topic, payload_base64: Buffer.from(hex, "hex").toString("base64"), retain: true });
        // a metric "t" of Int16 with -2; field 1 with 150
        await send("spBv1.0/group/NDATA/edge", "0801" + "1209" + "0a0174" + "2002" + "50feff03" + "1807");
        await send("proto/one", "089601");
        await other.goto(`${url}/#/topics/${encodeURIComponent("proto/one")}`);
        await other.locator(".detail .hex").waitFor();
        expect(!loaded.size, `loaded before: ${[...loaded]}`);
        await other.locator(".detail").getByRole("button", { name: "Decoded" }).click();
        await other.getByLabel("Format").selectOption("protobuf");
        await other.getByLabel("Schema (.proto)").setInputFiles({ name: "a.proto", mimeType: "text/plain", buffer: Buffer.from("syntax = \"proto3\"; message Reading { int32 litres = 1; }") });
        await other.locator(".detail .json", { hasText: "litres: 150" }).waitFor();
        expect(loaded.has("protobuf") && !loaded.has("sparkplug"), [...loaded].join());
        await other.goto(`${url}/#/topics/${encodeURIComponent("spBv1.0/group/NDATA/edge")}`);
        await other.locator(".detail .json", { hasText: "-2" }).waitFor();
        await other.locator(".detail .json", { hasText: "Int16" }).waitFor();
        await other.context().close();
        await api("DELETE", "retained?filter=proto/%23");
        await api("DELETE", "retained?filter=spBv1.0/%23");
    });

    await test("a tab has one stream for all that it shows", async () => {
        const other = await open();
        const streams = new Set();
        other.on("request", (request) => request.url().includes("api/v1/live") && streams.add(request));
        for (const end of ["requestfinished", "requestfailed"]) other.on(end, (request) => streams.delete(request));
        await other.goto(`${url}/#/overview`);
        await other.locator(".chart canvas").first().waitFor();
        await other.goto(`${url}/#/topics/${encodeURIComponent("home/lamp")}`);
        await other.locator(".history tr").first().waitFor();
        await until(() => streams.size === 1, "the streams of before have ended");
        const [stream] = streams;
        expect(/topics=%23/.test(stream.url()) && /watch=home%2Flamp/.test(stream.url()), stream.url());
        await other.context().close();
    });

    await test("dark and light are chosen, and kept; the system decides else", async () => {
        const other = await open({ colorScheme: "light" });
        await other.goto(`${url}/#/overview`);
        await other.locator(".chart canvas").first().waitFor();
        const colour = () => other.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
        const light = await colour();
        await other.getByRole("button", { name: "Dark" }).click();
        const dark = await colour();
        expect(light !== dark, dark);
        await other.reload();
        await other.getByRole("button", { name: "As the system" }).waitFor();
        expect((await colour()) === dark, "it is forgotten");
        await other.getByRole("button", { name: "As the system" }).click();
        expect((await colour()) === light, "the system is light");
        await other.emulateMedia({ colorScheme: "dark" });
        expect((await colour()) === dark, "the system is dark");
        await other.context().close();
    });

    await test("it works below a path of a proxy, its client too", async () => {
        const target = new URL(url);
        const path = (text) => text.replace(/^\/deep\/dunlin/, "");
        const proxy = createServer((asked, answer) => {
            if (!asked.url.startsWith("/deep/dunlin/")) return answer.writeHead(404).end();
            const passed = request({ host: target.hostname, port: target.port, method: asked.method, path: path(asked.url), headers: asked.headers }, (got) => {
                answer.writeHead(got.statusCode, got.headers);
                got.pipe(answer);
            });
            passed.on("error", () => answer.destroy());
            answer.on("close", () => passed.destroy());
            asked.pipe(passed);
        });
        proxy.on("upgrade", (asked, socket) => {
            const passed = connect({ host: target.hostname, port: Number(target.port) }, () => {
                const lines = asked.rawHeaders.map((one, at) => (at % 2 ? `${one}\r\n` : `${one}: `)).join("");
                passed.write(`GET ${path(asked.url)} HTTP/1.1\r\n${lines}\r\n`);
                passed.pipe(socket);
                socket.pipe(passed);
            });
            for (const one of [passed, socket]) one.on("error", () => (passed.destroy(), socket.destroy()));
        });
        await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
        const at = `http://127.0.0.1:${proxy.address().port}`;
        own.add(new URL(at).host);
        const other = await open();
        try {
            await other.goto(`${at}/deep/dunlin/`);
            await other.locator(".chart canvas").first().waitFor();
            await other.getByRole("link", { name: "Topics" }).click();
            await other.getByRole("treeitem", { name: /lamp/ }).waitFor();
            await other.getByRole("link", { name: "Client", exact: true }).click();
            await other.getByLabel("Client Identifier").fill("behind-a-path");
            await other.getByRole("button", { name: "Connect", exact: true }).click();
            await other.getByText("Connected as behind-a-path").waitFor();
        } finally {
            await other.context().close();
            proxy.closeAllConnections();
            proxy.close();
        }
    });

    const HTML = "<img src=x onerror=alert(5)>";
    const TURNED = "\u202eexe.\u0007\u2066";
    await test("foreign text is shown as text on the pages of bans, users, rules, records and the client, too", async () => {
        const clean = async (on, name) => {
            await on.waitForTimeout(300);
            expect(!(await on.locator("main img, main script").count()), `${name}: an element came out of a text`);
            expect((await on.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${name} is wider than the window`);
        };
        await api("POST", "bans", { client_id: `${HTML}${TURNED}`, reason: `${HTML}${"very-long".repeat(100)}`, for: "1h" });
        await show(page, "bans");
        await page.getByText(HTML).first().waitFor();
        await clean(page, "bans");
        await page.getByRole("button", { name: "End", exact: true }).click();
        await show(page, "record");
        await page.getByLabel("Topic Filter").fill("hostile/#");
        await page.getByRole("button", { name: "Start recording" }).click();
        await page.getByText(/[1-9] messages/).first().waitFor();
        await page.getByRole("button", { name: "Stop" }).click();
        await clean(page, "record");
        await show(page, "client");
        await page.getByLabel("Client Identifier").fill(HTML);
        await page.getByRole("button", { name: "Connect", exact: true }).click();
        await page.getByText("Connected as").last().waitFor();
        await page.getByLabel("Topic Filter").fill("hostile/#");
        await page.getByRole("button", { name: "Subscribe", exact: true }).click();
        await page.locator(".bubble", { hasText: "hostile/long" }).waitFor();
        await clean(page, "client");
        await page.getByRole("button", { name: "Disconnect" }).click();
        await page.evaluate(() => localStorage.clear());

        const other = await open();
        await other.goto(lockedUrl);
        await enter(other, "ada", "ada's secret");
        await other.getByRole("heading", { name: "Overview" }).waitFor();
        await other.goto(`${lockedUrl}/#/users`);
        await other.getByLabel("Name", { exact: true }).fill(HTML);
        await other.getByLabel("Password", { exact: true }).fill("x");
        await other.getByRole("button", { name: "Save" }).click();
        await other.getByRole("cell", { name: HTML, exact: true }).waitFor();
        await clean(other, "users");
        await other.getByRole("button", { name: "Rules", exact: true }).click();
        await other.getByLabel("Name", { exact: true }).fill(HTML);
        await other.getByLabel("Topic Filter", { exact: true }).fill(`${HTML}${"/very-long".repeat(50)}/#`);
        await other.getByRole("button", { name: "Save" }).click();
        await other.getByRole("row", { name: new RegExp(HTML.slice(1, 8)) }).waitFor();
        await clean(other, "rules");
        await other.getByRole("row", { name: new RegExp(HTML.slice(1, 8)) }).getByRole("button").click();
        await other.goto(`${lockedUrl}/#/log`);
        await other.getByRole("button", { name: "Log", exact: true }).click();
        await other.locator(".events li").first().waitFor();
        await clean(other, "log");
        await other.goto(`${lockedUrl}/#/users`);
        await other.getByRole("button", { name: `Delete ${HTML}` }).click();
        await other.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
        await other.getByRole("cell", { name: HTML, exact: true }).waitFor({ state: "detached" });
        await other.context().close();
    });

    // at once: each has a core
    await Promise.all(["light", "dark"].map((theme) =>
        test(`axe finds nothing on the pages of administrators, nor in open forms, ${theme}`, async () => {
            const other = await open({ colorScheme: theme, reducedMotion: "reduce", bypassCSP: true });
            const found = [];
            const look = async (name) => {
                await other.waitForTimeout(200);
                await other.evaluate(axe);
                const { violations } = await other.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
                found.push(...violations.map(({ id, nodes }) => `${name}: ${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} (${any[0]?.message ?? ""})`).join("; ")}`));
            };
            await other.goto(lockedUrl);
            await other.getByLabel("User name").waitFor();
            await look("login");
            await enter(other, "ada", "ada's secret");
            await other.getByRole("heading", { name: "Overview" }).waitFor();
            for (const [name, part] of [["users", "Users"], ["users", "Rules"], ["users", "Keys"], ["bans"], ["log", "Log"], ["log", "Requests that wrote"], ["settings"]]) {
                await other.goto(`${lockedUrl}/#/${name}`);
                await other.locator("h1").first().waitFor();
                if (part) await other.getByRole("button", { name: part, exact: true }).click();
                await look(`${name} ${part ?? ""}`);
            }
            await other.goto(`${lockedUrl}/#/client`);
            await other.getByText("More options").click();
            await other.getByLabel("Will", { exact: true }).check();
            await other.getByText("Properties of MQTT 5").click();
            await look("client");
            await other.context().close();
            expect(!found.length, found.join("\n"));
        }),
    ));
};
