// Protocol Buffers, by a schema that the user gives.
import { t } from "../texts.js";
import { parse } from "../vendor/schema.mjs";
import { read } from "./wire.js";

const fieldsOf = (message) =>
    new Map(
        message.fields.map(({ tag, name, type, repeated, map }) => [
            tag,
            { name, type, repeated, map: map && { fields: new Map([[1, { name: "key", type: map.from }], [2, { name: "value", type: map.to }]]) } },
        ]),
    );

// All types of a schema by their full names.
const typesOf = (text) => {
    const schema = parse(text);
    const types = new Map();
    const add = (prefix, { messages = [], enums = [] }) => {
        for (const message of messages) {
            const name = prefix + message.name;
            types.set(name, { fields: fieldsOf(message), name });
            add(`${name}.`, message);
        }
        for (const one of enums) types.set(prefix + one.name, { values: new Map(Object.entries(one.values).map(([key, { value }]) => [value, key])) });
    };
    add("", schema);
    return { types, package: schema.package };
};

export const messagesOf = (text) => [...typesOf(text).types].filter(([, { fields }]) => fields).map(([name]) => name);

export const decode = (data, schema) => {
    if (!schema?.text) throw new Error(t.decoders.noSchema);
    const { types, package: prefix } = typesOf(schema.text);
    const root = types.get(schema.message) ?? [...types.values()].find(({ fields }) => fields);
    if (!root) throw new Error(t.decoders.noMessage);
    // a type is looked for from the inside out
    const find = (name) => {
        const plain = name.replace(/^\./, "").replace(prefix ? `${prefix}.` : /^$/, "");
        return types.get(plain) ?? [...types].find(([full]) => full.endsWith(`.${plain}`))?.[1];
    };
    return read(data, root, find);
};
