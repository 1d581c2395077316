// The pages of users, rules and bans: what is made, changed and deleted, by keyboard too; two writers of one file; files
// that may not be written; guessed passwords. For console.mjs.
import { execFileSync, spawnSync } from "node:child_process";

export default async ({ test, expect, until, open, enter, lockedUrl, lockedPort, readonlyUrl }) => {
    const published = (user, password, topic = "home/x") => {
        const more = user ? ["-u", user, "-P", password] : [];
        return spawnSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", lockedPort, "-t", topic, "-m", "1", "-q", "1", ...more]).status === 0;
    };
    const asAda = async (url = lockedUrl) => {
        const page = await open();
        await page.goto(url);
        await enter(page, "ada", "ada's secret");
        await page.getByRole("heading", { name: "Overview" }).waitFor();
        return page;
    };
    const show = async (page, name, part, url = lockedUrl) => {
        await page.goto(`${url}/#/${name}`);
        await page.locator("h1").first().waitFor();
        if (part) await page.getByRole("button", { name: part, exact: true }).click();
    };
    // another writer, with the login of the page
    const write = (page, method, path, body, headers = {}) =>
        page.evaluate(
            async ([method, path, body, headers]) => {
                const { csrf } = await (await fetch("api/v1/session")).json();
                const response = await fetch(`api/v1/${path}`, { method, headers: { "X-Dunlin-CSRF": csrf, ...headers }, body: body && JSON.stringify(body) });
                return response.status;
            },
            [method, path, body, headers],
        );

    await test("a user is made, gets another password and is deleted, by keyboard alone", async () => {
        const page = await asAda();
        await show(page, "users", "Users");
        await page.getByLabel("Name", { exact: true }).focus();
        await page.keyboard.type("lamp");
        await page.keyboard.press("Tab");
        await page.keyboard.type("first");
        await page.keyboard.press("Enter");
        await page.getByRole("cell", { name: "lamp", exact: true }).waitFor();
        expect(published("lamp", "first"), "the new user is refused");
        await page.getByRole("button", { name: "Change the password of lamp" }).focus();
        await page.keyboard.press("Enter");
        await page.keyboard.type("second");
        await page.keyboard.press("Enter");
        await page.getByText("lamp is saved").last().waitFor();
        await until(() => published("lamp", "second"), "the new password is taken");
        expect(!published("lamp", "first"), "the old password is taken");
        await page.getByRole("button", { name: "Delete lamp" }).focus();
        await page.keyboard.press("Enter");
        // a question takes the focus, Escape leaves it, and nothing is deleted without a yes
        await page.getByRole("dialog").getByText("lamp cannot log in any more").waitFor();
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({ state: "hidden" });
        expect(published("lamp", "second"), "lamp is deleted without a yes");
        await page.getByRole("button", { name: "Delete lamp" }).focus();
        await page.keyboard.press("Enter");
        await page.getByRole("dialog").waitFor();
        await page.keyboard.press("Tab");
        await page.keyboard.press("Enter");
        await page.getByRole("cell", { name: "lamp", exact: true }).waitFor({ state: "detached" });
        await until(() => !published("lamp", "second"), "lamp is refused");
        await page.context().close();
    });

    await test("a rule is made, explained, changed and deleted", async () => {
        const page = await asAda();
        await show(page, "users", "Rules");
        const explained = async (topic, answer) => {
            await page.getByLabel("User (empty: anonymous)").fill("otto");
            await page.getByLabel("Topic", { exact: true }).fill(topic);
            await page.getByRole("button", { name: "Ask" }).click();
            await page.getByText(answer, { exact: true }).waitFor();
        };
        const set = async (access) => {
            await page.getByLabel("Name", { exact: true }).fill("otto");
            await page.getByRole("combobox", { name: "Access", exact: true }).selectOption(access);
            await page.getByLabel("Topic Filter", { exact: true }).fill("office/#");
            await page.getByLabel("Topic Filter", { exact: true }).press("Enter");
            await page.getByRole("row", { name: new RegExp(`otto ${access} office/#`) }).waitFor();
        };
        await explained("office/door", "Denied");
        await set("readwrite");
        await explained("office/door", "Allowed");
        await page.getByText("office/#").nth(1).waitFor();
        await set("deny");
        await explained("office/door", "Denied");
        await page.getByRole("button", { name: "Delete office/#" }).click();
        await page.getByRole("row", { name: /office/ }).waitFor({ state: "detached" });
        await page.context().close();
    });

    await test("of two writers of the rules, the second one is told, and chooses", async () => {
        const page = await asAda();
        await show(page, "users", "Rules");
        const box = page.getByRole("textbox", { name: "The file", exact: true });
        const before = await box.inputValue();
        await box.fill(`${before}pattern read mine/#\n`);
        expect((await write(page, "PUT", "rules", { for: "everybody", access: "read", filter: "theirs/#" })) === 200, "the other writer");
        const save = page.locator("section", { has: box }).getByRole("button", { name: "Save", exact: true });
        await save.click();
        await page.getByText("Another writer changed the file meanwhile").waitFor();
        // what would be lost is shown, and nothing is lost yet
        await page.locator(".diff del", { hasText: "theirs/#" }).waitFor();
        await page.locator(".diff ins", { hasText: "mine/#" }).waitFor();
        expect((await box.inputValue()).includes("mine/#"), "the text is gone");
        await page.getByRole("button", { name: "Discard my text" }).click();
        await until(async () => (await box.inputValue()).includes("theirs/#"), "the file of the other writer");
        const theirs = await box.inputValue();
        expect(!theirs.includes("mine/#"), theirs);
        await box.fill(`${theirs}pattern read mine/#\n`);
        await write(page, "DELETE", "rules?for=everybody&filter=theirs%2F%23");
        await save.click();
        await page.getByRole("button", { name: "Save mine over it" }).click();
        await page.getByRole("row", { name: /mine\/#/ }).waitFor();
        await page.getByRole("row", { name: /theirs\/#/ }).waitFor();
        // a text that is none is refused, with its line
        await box.fill("nonsense\n");
        await save.click();
        await page.locator(".toast", { hasText: "nonsense" }).waitFor();
        await page.getByRole("button", { name: "Cancel" }).click();
        expect((await write(page, "PUT", "rules", { text: before }, { "If-Match": "*" })) === 200, "the rules as before");
        await page.context().close();
    });

    await test("a client, a user and a network are banned, banned otherwise and let in again, by keyboard too", async () => {
        const page = await asAda();
        await show(page, "bans");
        await page.getByText("Nobody is banned").waitFor();
        const ban = async (kind, what, lasts, reason) => {
            await page.getByRole("combobox", { name: "By", exact: true }).selectOption({ label: kind });
            await page.getByLabel(kind, { exact: true }).fill(what);
            await page.getByRole("textbox", { name: /^For/ }).fill(lasts);
            await page.getByLabel("Why", { exact: true }).fill(reason);
            await page.getByLabel("Why", { exact: true }).press("Enter");
            await page.getByRole("row", { name: new RegExp(`${what}.*${reason}`) }).waitFor();
        };
        expect(published("otto", "otto's secret"), "otto is refused without a ban");
        await ban("User", "otto", "1h", "too loud");
        expect(!published("otto", "otto's secret"), "otto is let in");
        // the same once more: until another time, for another reason
        await ban("User", "otto", "", "for ever");
        await page.getByText("ended by hand").waitFor();
        expect((await page.getByRole("row", { name: /otto/ }).count()) === 1, "there are two bans of one user");
        await ban("Client Identifier", "robot", "7d", "gone mad");
        await ban("Network", "192.0.2.0/24", "10m", "a test net");
        await page.getByLabel("Network", { exact: true }).fill("nonsense");
        await page.getByRole("button", { name: "Ban", exact: true }).click();
        await page.locator(".toast", { hasText: "network" }).waitFor();
        await page.getByRole("row", { name: /otto/ }).getByRole("button", { name: "End" }).focus();
        await page.keyboard.press("Enter");
        await page.getByRole("row", { name: /otto/ }).waitFor({ state: "detached" });
        expect(published("otto", "otto's secret"), "otto is refused without a ban");
        for (const what of [/robot/, /192\.0\.2\.0/]) await page.getByRole("row", { name: what }).getByRole("button", { name: "End" }).click();
        await page.getByText("Nobody is banned").waitFor();
        await page.context().close();
    });

    await test("files that may not be written are shown, and an edit says why it fails", async () => {
        const page = await asAda(readonlyUrl);
        await show(page, "users", "Users", readonlyUrl);
        await page.getByRole("cell", { name: "vera", exact: true }).waitFor();
        await page.getByLabel("Name", { exact: true }).fill("new");
        await page.getByLabel("Password", { exact: true }).fill("secret");
        await page.getByRole("button", { name: "Save" }).click();
        await page.locator(".toast", { hasText: "ermission denied" }).waitFor();
        expect(!(await page.getByRole("cell", { name: "new", exact: true }).count()), "the user is shown");
        await page.getByRole("button", { name: "Rules", exact: true }).click();
        await page.getByLabel("Name", { exact: true }).fill("otto");
        await page.getByLabel("Topic Filter", { exact: true }).fill("a/#");
        await page.getByRole("button", { name: "Save" }).click();
        await page.locator(".toast", { hasText: "rules" }).waitFor();
        await page.context().close();
    });

    await test("the fourth guess of a password waits, and another user does not", async () => {
        const page = await open();
        await page.goto(lockedUrl);
        await page.getByLabel("User name").waitFor();
        const times = await page.evaluate(async () => {
            const times = [];
            for (let n = 0; n < 4; n += 1) {
                const began = performance.now();
                const { status } = await fetch("api/v1/session", { method: "POST", body: JSON.stringify({ user: "guessed", password: `wrong ${n}` }) });
                times.push([status, performance.now() - began]);
            }
            return times;
        });
        expect(times.every(([status]) => status === 401), JSON.stringify(times));
        // auth.failed_login_delay is 2 s there, from the fourth one on
        expect(times[3][1] >= 1990 && times[0][1] < 1990, JSON.stringify(times));
        await enter(page, "vera", "vera's secret");
        await page.getByRole("heading", { name: "Overview" }).waitFor();
        await page.context().close();
    });

    await test("the log is shown, found and held", async () => {
        const page = await asAda();
        await show(page, "log", "Log");
        const rows = page.locator(".events li");
        await rows.first().waitFor();
        execFileSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", lockedPort, "-i", "logged-<b>client</b>", "-u", "otto", "-P", "otto's secret", "-t", "home/x", "-m", "1"]);
        await rows.filter({ hasText: "logged-<b>client</b>" }).first().waitFor();
        await page.getByRole("searchbox").fill("logged-");
        await until(async () => (await rows.count()) > 0 && (await rows.filter({ hasNotText: "logged-" }).count()) === 0, "what is found");
        await page.getByRole("searchbox").fill("");
        await page.getByLabel("Level").selectOption("WARN");
        await until(async () => (await rows.filter({ hasText: "INFO" }).count()) === 0, "warnings alone");
        await page.context().close();
    });
};
