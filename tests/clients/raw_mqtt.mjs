// As much of MQTT 3.1.1 as a load needs: packets written by hand, many of them in one write.
import { connect } from "node:net";

export const text = (value) => {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

export const packet = (first, ...parts) => {
    const body = Buffer.concat(parts);
    const length = [];
    let rest = body.length;
    do {
        length.push((rest & 127) | (rest > 127 ? 128 : 0));
        rest >>= 7;
    } while (rest);
    return Buffer.concat([Buffer.from([first, ...length]), body]);
};

export const publish = (topic, payload) => packet(0x30, text(topic), Buffer.from(payload));

const open = (port, connects) =>
    new Promise((done, failed) => {
        const socket = connect({ port: Number(port), host: "127.0.0.1", noDelay: true }, () => socket.write(connects));
        socket.once("data", (told) => done(Object.assign(socket, { told })));
        socket.once("error", failed);
    });

// A connection with a session of its own, that ends with it if it is `clean`. `told` has the CONNACK.
export const client = (port, id, clean = true) => open(port, packet(0x10, text("MQTT"), Buffer.from([4, clean ? 2 : 0, 0, 0]), text(id)));

// The same with a user name.
export const login = (port, id, user) => open(port, packet(0x10, text("MQTT"), Buffer.from([4, 0x82, 0, 0]), text(id), text(user)));

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
