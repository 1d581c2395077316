// MQTT.js against the test bench: no sleep, and no proxy. tests/clients/bench runs it.

import assert from "node:assert";
import { writeFileSync } from "node:fs";
import { after, before, beforeEach, test } from "node:test";
import mqtt from "mqtt";
import { Broker, Unmet } from "dunlin-test";

let began;
let broker;
const clients = [];

before(async () => {
  began = performance.now();
  broker = await Broker.start();
});

beforeEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
  await broker.reset();
});

after(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)));
  assert.equal(await broker.stop(), 0);
  // the seconds of the whole suite, from before the broker starts until it has ended
  writeFileSync("took", `${((performance.now() - began) / 1_000).toFixed(2)}\n`);
});

async function connect(clientId, more = {}) {
  const options = { clientId, clean: false, reconnectPeriod: 10, ...more };
  const client = await mqtt.connectAsync(broker.url, options);
  client.on("error", () => {});
  clients.push(client);
  return client;
}

test("a lost PUBACK has the message sent again", async () => {
  const client = await connect("p");
  const fault = await broker.fault("close", { packet: "PUBACK", direction: "to_client", times: 1 });
  await client.publishAsync("a", "x", { qos: 1 });
  await broker.expect({ packet: "PUBLISH", direction: "to_server", client: "p", count: 2 });
  assert.equal(await fault.hits(), 1);
  await broker.expect({ filter: "a", payload: "x", count: 2 });
});

test("a dead connection is found by the keep alive", async () => {
  await connect("c", { keepalive: 1 });
  await broker.fault("half_open", { client: "c", times: 1 });
  await broker.expect({ packet: "CONNECT", client: "c", fault: "none", count: 2, within: "10s" });
});

test("a session expires after 25 hours", async () => {
  const client = await connect("c", { protocolVersion: 5, properties: { sessionExpiryInterval: 24 * 3600 } });
  await client.subscribeAsync("a", { qos: 1 });
  await broker.expect({ client: "c", subscribed: "a" });
  await client.endAsync();
  await broker.advance("23h");
  await broker.expect({ client: "c", state: "away" });
  await broker.advance("25h");
  await broker.expect({ client: "c", state: "gone", within: 0 });
});

test("a take-over ends the first connection", async () => {
  const first = await connect("c", { reconnectPeriod: 0 });
  const closed = new Promise((resolve) => first.once("close", resolve));
  await connect("c");
  await closed;
  await broker.expect({ client: "c", packet: "CONNECT", count: 2 });
});

test("a killed broker has what it acknowledged", async () => {
  const payloads = [];
  const subscriber = await connect("s");
  subscriber.on("message", (_topic, payload) => payloads.push(payload.toString()));
  await subscriber.subscribeAsync("a", { qos: 1 });
  const publisher = await connect("p");
  await publisher.publishAsync("a", "before", { qos: 1 });
  await broker.expect({ client: "s", acknowledged: true });
  // nothing answers a PUBACK: it is stored when the broker has nothing to do
  await broker.expect({ idle: true });
  await broker.restart();
  await broker.expect({ client: "s", state: "connected" });
  await publisher.publishAsync("a", "after", { qos: 1 });
  await broker.expect({ client: "s", acknowledged: true });
  assert.deepEqual(payloads, ["before", "after"]);
});

test("what is missing is told", async () => {
  const client = await connect("p");
  await client.publishAsync("a", "x", { qos: 1 });
  await assert.rejects(broker.expect({ filter: "a", payload: "y", within: "20ms" }), (error) => {
    assert.ok(error instanceof Unmet);
    assert.deepEqual(error.problem.nearest.differs, ["payload"]);
    return true;
  });
});
