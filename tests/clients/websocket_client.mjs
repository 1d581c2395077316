// MQTT.js over WebSocket and TLS: node websocket_client.mjs URL CA
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// where tests/clients/transports has installed it
const mqtt = createRequire(process.env.MQTTJS_ROOT + "/")("mqtt");

const [url, ca] = process.argv.slice(2);
const count = 500;
let got = 0;
const client = mqtt.connect(url, { ca: readFileSync(ca), clientId: "mqttjs", reconnectPeriod: 0 });
const end = (text, code) => {
    console.log(`${code === 0 ? "ok    " : "FAILED"} MQTT.js over wss: ${text}`);
    process.exit(code);
};
setTimeout(() => end(`${got} of ${count} messages in 30 s`, 1), 30000);
client.on("error", (error) => end(String(error), 1));
client.on("close", () => end("the broker closed the connection", 1));
client.on("message", (topic, payload) => {
    if (payload.length !== (topic === "js/0" ? 200000 : 10)) end(`${payload.length} bytes at ${topic}`, 1);
    got += 1;
    if (got === count) end(`${got} messages`, 0);
});
client.subscribe("js/#", { qos: 1 }, () => {
    for (let at = 0; at < count; at += 1) {
        client.publish(`js/${at}`, "x".repeat(at === 0 ? 200000 : 10), { qos: 1 });
    }
});
