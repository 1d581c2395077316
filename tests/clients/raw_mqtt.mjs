// As much of MQTT 3.1.1 as a load needs: packets written by hand, many of them in one write.
import { connect } from "node:net";

export const text = (value) => Buffer.concat([Buffer.from([value.length >> 8, value.length & 255]), Buffer.from(value)]);

// Up to 16,383 bytes.
export const packet = (first, ...parts) => {
    const body = Buffer.concat(parts);
    const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7];
    return Buffer.concat([Buffer.from([first, ...length]), body]);
};

export const publish = (topic, payload) => packet(0x30, text(topic), Buffer.from(payload));

// A connection with a session of its own.
export const client = (port, id) =>
    new Promise((done, failed) => {
        const socket = connect({ port: Number(port), host: "127.0.0.1", noDelay: true }, () => socket.write(packet(0x10, text("MQTT"), Buffer.from([4, 2, 0, 0]), text(id))));
        socket.once("data", () => done(socket));
        socket.once("error", failed);
    });

export const subscribe = (socket, filter) =>
    new Promise((done) => {
        socket.once("data", done);
        socket.write(packet(0x82, Buffer.from([0, 1]), text(filter), Buffer.from([0])));
    });

export const sleep = (time) => new Promise((done) => setTimeout(done, time));

// Calls `send` every so many milliseconds, on average, for so long; gives how often.
export const paced = async (every, time, send) => {
    const began = performance.now();
    let calls = 0;
    while (performance.now() - began < time) {
        send(calls);
        calls += 1;
        await sleep(Math.max(0, began + calls * every - performance.now()));
    }
    return calls;
};
