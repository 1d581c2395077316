// Formats of payloads that are decoded on request. Each is loaded when it is first used; nothing is
// guessed but Sparkplug B, which has a place of its own among topics.
export const FORMATS = {
    cbor: () => import("./decoders/cbor.js"),
    msgpack: () => import("./decoders/msgpack.js"),
    protobuf: () => import("./decoders/protobuf.js"),
    sparkplug: () => import("./decoders/sparkplug.js"),
};

// The format that a topic says by itself.
export const formatOf = (topic) => (/^spBv1\.0\/[^/]+\/(?!STATE)/.test(topic ?? "") ? "sparkplug" : null);

// `schema`: for protobuf, its text and the name of a message.
export const decode = async (format, data, schema) => (await FORMATS[format]()).decode(data, schema);
