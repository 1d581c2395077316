// The client page in detail: its own login and rights, the colours of subscriptions, marks, bytes, unsubscribing; and that
// MQTT.js is loaded by it alone. For console.mjs.
export default async ({ test, expect, until, open, enter, show, publish, api, url, lockedUrl }) => {
    const connect = async (page, { id, user = "", password = "", version = "MQTT 5" }) => {
        await page.getByLabel("Client Identifier").fill(id);
        await page.getByLabel("User name").fill(user);
        await page.getByLabel("Password", { exact: true }).fill(password);
        await page.locator("form select").first().selectOption({ label: version });
        await page.getByRole("button", { name: "Connect", exact: true }).click();
    };
    const said = async (page, text) => {
        const line = page.locator(".said", { hasText: text }).last();
        await line.waitFor().catch(async () => expect(false, `no line says ${text}: ${await page.locator(".talk").innerText()}`));
    };

    await test("the client page has its own login, and the rights of that login alone", async () => {
        const page = await open();
        await page.goto(lockedUrl);
        // the role on the page is not the login of the client
        await enter(page, "ada", "ada's secret");
        await page.getByRole("heading", { name: "Overview" }).waitFor();
        for (const version of ["MQTT 5", "MQTT 3.1.1"]) {
            await page.goto(`${lockedUrl}/#/client`);
            const wrong = [["", ""], ["otto", "wrong"]];
            for (const [user, password] of version === "MQTT 5" ? wrong : wrong.slice(1)) {
                await connect(page, { id: "refused", user, password, version });
                await said(page, /Error: Connection refused: (Not authorized|Bad [Uu]ser ?[Nn]ame or [Pp]assword)/);
                await said(page, "The connection ended");
                await page.getByRole("button", { name: "Clear" }).click();
            }
            await connect(page, { id: "vera-here", user: "vera", password: "vera's secret", version });
            await said(page, "Connected as vera-here");
            const told = await page.evaluate(async () => (await fetch("api/v1/clients/vera-here")).json());
            expect(told.user === "vera" && told.listener === "http", JSON.stringify(told));
            // the rules let vera use home/# alone
            await page.getByLabel("Topic Filter").fill("secret/#");
            await page.getByRole("button", { name: "Subscribe", exact: true }).click();
            // to MQTT 3.1.1 the broker grants it as mosquitto does, and sends nothing
            if (version === "MQTT 5") {
                await said(page, /secret\/#: .*[Nn]ot authorized/);
                expect((await page.locator(".card .events li").count()) === 0, "a refused subscription is listed");
            } else await said(page, "Subscribed to secret/#");
            await page.getByLabel("Topic Filter").fill("home/#");
            await page.getByRole("button", { name: "Subscribe", exact: true }).click();
            await said(page, "Subscribed to home/# at QoS 1");
            const send = async (topic, text) => {
                await page.getByLabel("Topic", { exact: true }).fill(topic);
                await page.getByLabel("Payload", { exact: true }).fill(text);
                await page.getByRole("button", { name: "Send" }).click();
            };
            await page.locator("form.send").getByRole("button", { name: "QoS 1" }).click();
            await send("home/x", `allowed, ${version}`);
            await page.locator(".bubble:not(.is-own)", { hasText: `allowed, ${version}` }).waitFor();
            await send("secret/x", `denied, ${version}`);
            // only MQTT 5 has a PUBACK that says so
            if (version === "MQTT 5") await said(page, /Error: .*[Nn]ot authorized/);
            await send("home/x", `afterwards, ${version}`);
            await page.locator(".bubble:not(.is-own)", { hasText: `afterwards, ${version}` }).waitFor();
            expect(!(await page.locator(".bubble:not(.is-own)", { hasText: "secret/x" }).count()), "it reads what the rules deny");
            await page.getByRole("button", { name: "Disconnect" }).click();
            await said(page, "The connection ended");
            expect(!(await page.evaluate(() => JSON.stringify({ ...localStorage }))).includes("vera's secret"), "the password is stored");
            await page.evaluate(() => localStorage.clear());
            await page.reload();
        }
        await page.context().close();
    });

    await test("subscriptions have colours of their own, messages a mark of Retain and a view of bytes; after unsubscribing nothing comes", async () => {
        const page = await open();
        publish("paint/kept", "retained", "-r");
        await show(page, "client");
        await connect(page, { id: "painter" });
        await said(page, "Connected as painter");
        for (const filter of ["paint/#", "brush/+"]) {
            await page.getByLabel("Topic Filter").fill(filter);
            await page.getByRole("button", { name: "Subscribe", exact: true }).click();
            await said(page, `Subscribed to ${filter}`);
        }
        const bubble = (text) => page.locator(".bubble", { hasText: text }).last();
        await bubble("paint/kept").locator(".badge", { hasText: "retained" }).waitFor();
        publish("paint/new", "fresh");
        publish("brush/1", "stroke");
        await bubble("paint/new").waitFor();
        expect(!(await bubble("paint/new").locator(".badge", { hasText: "retained" }).count()), "a new message has the mark");
        const edge = (locator) => locator.evaluate((one) => [...new Set(["borderLeftColor", "borderInlineStartColor", "borderTopColor", "backgroundColor"].map((name) => getComputedStyle(one)[name]))].join());
        await bubble("brush/1").waitFor();
        const swatches = await page.locator(".swatch").evaluateAll((all) => all.map((one) => getComputedStyle(one).backgroundColor));
        expect(swatches.length === 2 && swatches[0] !== swatches[1], swatches.join());
        const [first, second] = [await edge(bubble("paint/new")), await edge(bubble("brush/1"))];
        expect(first.includes(swatches[0]) && second.includes(swatches[1]), `${swatches}: ${first} and ${second}`);
        await bubble("brush/1").getByRole("button", { name: "Hex" }).click();
        await bubble("brush/1").locator("pre.is-hex", { hasText: "73 74 72 6f 6b 65" }).waitFor();
        // bytes that are no text are shown as bytes at once
        await api("POST", "publish", { topic: "brush/2", payload_base64: Buffer.from([0xff, 0, 1]).toString("base64") });
        await bubble("brush/2").locator("pre.is-hex", { hasText: "ff 00 01" }).waitFor();
        await page.getByRole("button", { name: "Unsubscribe brush/+" }).click();
        await said(page, "Unsubscribed from brush/+");
        const left = await api("GET", "clients/painter/subscriptions");
        expect(left.data.length === 1 && left.data[0].filter === "paint/#", JSON.stringify(left));
        publish("brush/3", "unheard");
        publish("paint/last", "heard");
        await bubble("paint/last").waitFor();
        expect(!(await page.locator(".bubble", { hasText: "brush/3" }).count()), "it is still subscribed");
        await page.getByRole("button", { name: "Disconnect" }).click();
        await page.context().close();
        await api("DELETE", "retained?filter=paint/%23");
    });

    await test("MQTT.js is loaded when the client page connects, and by no other page", async () => {
        const page = await open();
        const loaded = [];
        page.on("request", (request) => /mqtt\.js/.test(request.url()) && loaded.push(page.url()));
        await show(page, "overview");
        await page.getByRole("link", { name: "Traces" }).waitFor();
        const names = await page.locator("a.nav").evaluateAll((all) => all.map((one) => one.getAttribute("href").slice(2)));
        expect(names.length > 10 && names.includes("client"), names.join());
        for (const name of names.filter((name) => name !== "client")) {
            await show(page, name);
            await until(() => page.evaluate(() => performance.getEntriesByType("resource").some(({ name }) => name.includes("/pages/"))), "a page is loaded");
        }
        expect(!loaded.length, loaded.join());
        await show(page, "client");
        await connect(page, { id: "loads" });
        await said(page, "Connected as loads");
        expect(loaded.length === 1, `${loaded.length} requests`);
        await page.getByRole("button", { name: "Disconnect" }).click();
        await page.context().close();
    });
};
