// MQTT.js in MQTT 5: node mqttjs_5.mjs URL CA. Each wait is for an event; a later message that arrives
// first shows that an earlier one was not sent.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// where tests/clients/transports has installed it
const mqtt = createRequire(process.env.MQTTJS_ROOT + "/")("mqtt");

const [url, caFile] = process.argv.slice(2);
const ca = readFileSync(caFile);
// Milliseconds. Time limit of a scenario whose event never happens; no scenario waits for it.
const GUARD = 20000;
let numbers = 0;
const fresh = (what) => `${what}${numbers++}`;

// Received events until a scenario asks for them.
class Inbox {
    constructor() {
        [this.waiting, this.asking] = [[], []];
    }
    put(value) {
        const next = this.asking.shift();
        if (next) next(value);
        else this.waiting.push(value);
    }
    take() {
        if (this.waiting.length > 0) return this.waiting.shift();
        return new Promise((resolve, reject) => {
            const guard = setTimeout(() => reject(new Error("nothing came")), GUARD);
            this.asking.push((value) => (clearTimeout(guard), resolve(value)));
        });
    }
}

async function connected(options = {}) {
    const client = mqtt.connect(url, {
        ca, protocolVersion: 5, reconnectPeriod: 0, clientId: fresh("js"), ...options,
    });
    client.messages = new Inbox();
    client.left = new Inbox();
    client.packets = new Inbox();
    client.on("message", (topic, payload, packet) => client.messages.put([topic, String(payload), packet.properties ?? {}, packet]));
    client.on("packetreceive", (packet) => packet.cmd === "publish" && client.packets.put(packet));
    client.on("disconnect", (packet) => client.left.put(packet.reasonCode));
    client.connack = await new Promise((resolve, reject) => {
        client.once("connect", resolve);
        client.once("error", reject);
    });
    return client;
}

async function expectNothing(client) {
    const own = fresh("nothing/");
    await client.subscribeAsync(own, { qos: 1 });
    await client.publishAsync(own, "nothing came before", { qos: 1 });
    assert.deepEqual((await client.messages.take()).slice(0, 2), [own, "nothing came before"]);
    await client.unsubscribeAsync(own);
}

// The Reason Code that the broker acknowledges it with.
async function codeOf(client, topic, qos) {
    const acknowledged = new Promise((resolve) => {
        const cmd = qos === 1 ? "puback" : "pubrec";
        const found = (packet) => packet.cmd === cmd && (client.off("packetreceive", found), resolve(packet.reasonCode ?? 0));
        client.on("packetreceive", found);
    });
    await client.publishAsync(topic, "x", { qos }).catch(() => {});
    return acknowledged;
}

const properties = {
    payloadFormatIndicator: true,
    contentType: "application/json",
    responseTopic: "answers",
    correlationData: Buffer.from([0, 255, 0]),
    userProperties: { b: ["1", "2"], a: "3" },
};

const plain = (said) => ({ ...said, userProperties: said.userProperties && { ...said.userProperties } });

const scenarios = {
    async properties_are_passed_on() {
        const topic = fresh("properties/");
        const [five, old] = [await connected(), await connected({ protocolVersion: 4 })];
        for (const client of [five, old]) await client.subscribeAsync(topic, { qos: 2 });
        for (const qos of [0, 1, 2]) {
            await five.publishAsync(topic, "x", { qos, properties: { ...properties, messageExpiryInterval: 1000 } });
            const [, payload, said] = await five.messages.take();
            assert.deepEqual([payload, plain(said)], ["x", { ...properties, messageExpiryInterval: 1000 }]);
            const [, same, none] = await old.messages.take();
            assert.deepEqual([same, none], ["x", {}]);
        }
        return [five, old];
    },

    async request_and_response() {
        const [requests, answers] = [fresh("requests/"), fresh("answers/")];
        const [responder, requester] = [await connected(), await connected()];
        responder.on("message", (topic, payload, { properties: { responseTopic, correlationData } }) =>
            responder.publish(responseTopic, `done ${payload}`, { qos: 1, properties: { correlationData } }));
        await responder.subscribeAsync(requests, { qos: 1 });
        await requester.subscribeAsync(answers, { qos: 1 });
        for (const number of [1, 2, 3]) {
            const correlationData = Buffer.from([number, 0]);
            await requester.publishAsync(requests, String(number), { qos: 1, properties: { responseTopic: answers, correlationData } });
        }
        for (const number of [1, 2, 3]) {
            const [, payload, said] = await requester.messages.take();
            assert.deepEqual([payload, [...said.correlationData]], [`done ${number}`, [number, 0]]);
        }
        return [responder, requester];
    },

    // It takes an alias for each topic by itself, the one used longest ago if there is none left.
    async topic_aliases_of_the_client() {
        const root = fresh("a/longer/topic/");
        const [publisher, subscriber] = [await connected({ autoAssignTopicAlias: true }), await connected()];
        const most = publisher.connack.properties.topicAliasMaximum;
        assert(most > 0);
        await subscriber.subscribeAsync(`${root}/#`, { qos: 1 });
        const topics = Array.from({ length: 100 }, (_, n) => `${root}/${(n * n) % (most + 3)}`);
        let short = 0;
        publisher.on("packetsend", (packet) => (short += packet.cmd === "publish" && packet.topic === ""));
        for (const topic of topics) await publisher.publishAsync(topic, topic, { qos: 1 });
        for (const topic of topics) assert.deepEqual((await subscriber.messages.take()).slice(0, 2), [topic, topic]);
        assert(short > 30, `${short} without a topic`);
        return [publisher, subscriber];
    },

    // MQTT.js shows the topic of an alias; the packet has none.
    async topic_aliases_of_the_broker() {
        const root = fresh("a/longer/topic/");
        const client = await connected({ properties: { topicAliasMaximum: 2 } });
        await client.subscribeAsync(`${root}/#`, { qos: 1 });
        let short = 0;
        client.on("packetreceive", (packet) => (short += packet.cmd === "publish" && packet.properties?.topicAlias !== undefined));
        const topics = Array.from({ length: 60 }, (_, n) => `${root}/${n % 3}`);
        for (const topic of topics) await client.publishAsync(topic, topic, { qos: 1 });
        for (const topic of topics) assert.deepEqual((await client.messages.take()).slice(0, 2), [topic, topic]);
        assert(short > 20, `${short} with an alias`);
        return [client];
    },

    async reason_codes() {
        const topic = fresh("codes/");
        const client = await connected();
        assert.deepEqual([await codeOf(client, topic, 1), await codeOf(client, topic, 2)], [0x10, 0x10]);
        await client.subscribeAsync(topic, { qos: 1 });
        assert.deepEqual([await codeOf(client, topic, 1), await codeOf(client, topic, 2)], [0, 0]);
        return [client];
    },

    async options_of_a_subscription() {
        const topic = fresh("options/");
        const [client, other] = [await connected(), await connected()];
        await other.publishAsync(topic, "kept", { qos: 1, retain: true });
        await client.subscribeAsync(topic, { qos: 1, nl: true, rap: true, rh: 0, properties: { subscriptionIdentifier: 5 } });
        let [, payload, said, packet] = await client.messages.take();
        assert.deepEqual([payload, said.subscriptionIdentifier, packet.retain], ["kept", 5, true]);
        await client.subscribeAsync(`${topic}/#`, { qos: 1, nl: true, rh: 2, properties: { subscriptionIdentifier: 6 } });
        await client.publishAsync(topic, "own", { qos: 1 });
        await other.publishAsync(topic, "live", { qos: 1, retain: true });
        [, payload, said, packet] = await client.messages.take();
        assert.deepEqual([payload, [...said.subscriptionIdentifier].sort(), packet.retain], ["live", [5, 6], true]);
        await client.subscribeAsync(topic, { qos: 1, rh: 1 });
        await expectNothing(client);
        await other.publishAsync(topic, "", { qos: 1, retain: true });
        return [client, other];
    },

    async a_session_is_kept_as_long_as_it_says() {
        const clientId = fresh("session");
        const kept = { clientId, clean: false, properties: { sessionExpiryInterval: 1000 } };
        const first = await connected(kept);
        await first.subscribeAsync(clientId, { qos: 1 });
        await first.endAsync();
        const publisher = await connected();
        await publisher.publishAsync(clientId, "while away", { qos: 1, properties });
        // a message may arrive before MQTT.js reports that it is connected
        const back = await connected(kept);
        assert.equal(back.connack.sessionPresent, true);
        const [, payload, said] = await back.messages.take();
        assert.deepEqual([payload, plain(said)], ["while away", properties]);
        await back.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
        const again = await connected(kept);
        assert.equal(again.connack.sessionPresent, false);
        await again.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
        return [publisher];
    },

    // The broker sends no more than it takes, and all of it.
    async receive_maximum_of_the_client() {
        const topic = fresh("receive/");
        const client = await connected({ properties: { receiveMaximum: 2, maximumPacketSize: 200 } });
        const publisher = await connected();
        await client.subscribeAsync(topic, { qos: 2 });
        for (let n = 0; n < 100; n += 1) await publisher.publishAsync(topic, n % 10 ? String(n) : "x".repeat(300), { qos: 1 });
        for (let n = 0; n < 100; n += 1) if (n % 10) assert.equal((await client.messages.take())[1], String(n));
        await expectNothing(client);
        return [client, publisher];
    },

    // Members of both versions get messages in turn; messages of an ended session go to the other member.
    async a_group_shares_its_messages() {
        const topic = fresh("shared/");
        const filter = `$share/${fresh("group")}/${topic}`;
        const clientId = fresh("member");
        const one = await connected({ clientId, clean: false, properties: { sessionExpiryInterval: 1000 } });
        const [two, publisher] = [await connected({ protocolVersion: 4 }), await connected()];
        await publisher.publishAsync(topic, "kept", { qos: 1, retain: true });
        await one.subscribeAsync(filter, { qos: 1, properties: { subscriptionIdentifier: 7 } });
        await two.subscribeAsync(filter, { qos: 1 });
        for (let n = 0; n < 6; n += 1) await publisher.publishAsync(topic, String(n), { qos: 1, properties });
        const [, first, said] = await one.messages.take();
        assert.deepEqual(plain(said), { ...properties, subscriptionIdentifier: 7 });
        const got = [[first], []];
        while (got[0].length < 3) got[0].push((await one.messages.take())[1]);
        while (got[1].length < 3) got[1].push((await two.messages.take())[1]);
        assert.deepEqual(got.map(String).sort(), ["0,2,4", "1,3,5"]);
        await two.unsubscribeAsync(filter);
        await one.endAsync();
        for (const n of ["7", "8", "9"]) await publisher.publishAsync(topic, n, { qos: 1 });
        await two.subscribeAsync(filter, { qos: 1 });
        // a new session: messages of the earlier one go to the other member
        const again = await connected({ clientId });
        for (const n of ["7", "8", "9"]) assert.equal((await two.messages.take())[1], n);
        await expectNothing(again);
        await publisher.publishAsync(topic, "", { qos: 1, retain: true });
        return [again, two, publisher];
    },

    async a_take_over_is_told() {
        const clientId = fresh("same");
        const first = await connected({ clientId });
        const second = await connected({ clientId, clean: false });
        assert.equal(await first.left.take(), 0x8e);
        return [second];
    },

    async its_will() {
        const topic = fresh("will/");
        const watcher = await connected();
        await watcher.subscribeAsync(topic, { qos: 1 });
        const dies = await connected({ will: { topic, payload: "gone", qos: 1, properties } });
        dies.on("error", () => {});
        dies.stream.destroy();
        const [, payload, said] = await watcher.messages.take();
        assert.deepEqual([payload, plain(said)], ["gone", properties]);
        return [watcher];
    },

    // It is sent when the session ends, but not if the client resumes it.
    async a_will_with_a_delay() {
        const [topic, clientId] = [fresh("delay/"), fresh("mortal")];
        const watcher = await connected();
        await watcher.subscribeAsync(topic, { qos: 1 });
        const kept = { clientId, clean: false, properties: { sessionExpiryInterval: 1000 } };
        for (const clean of [false, true]) {
            const will = { topic, payload: "gone", qos: 1, properties: { willDelayInterval: 1000 } };
            const dies = await connected({ ...kept, will });
            dies.on("error", () => {});
            dies.stream.destroy();
            const back = await connected({ ...kept, clean });
            assert.equal(back.connack.sessionPresent, !clean);
            if (clean) assert.equal((await watcher.messages.take())[1], "gone");
            await expectNothing(watcher);
            await back.endAsync(false, { properties: { sessionExpiryInterval: 0 } });
        }
        return [watcher];
    },
};

let failed = 0;
for (const [name, scenario] of Object.entries(scenarios)) {
    try {
        for (const client of await scenario()) await client.endAsync();
        console.log(`ok     MQTT.js 5 over ${url.split(":")[0]}: ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAILED MQTT.js 5 over ${url.split(":")[0]}: ${name}: ${String(error.stack).split("\n").slice(0, 30).join(" | ")}`);
    }
}
process.exit(failed ? 1 : 0);
