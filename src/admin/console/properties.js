// The MQTT 5 properties of a message: their fields, and their forms for the API and for MQTT.js.
import { html } from "./kit.js";
import { t } from "./texts.js";
import { Button, Check, Field, Input } from "./ui.js";
import { fromHex, toBase64 } from "./format.js";

export const NO_PROPERTIES = { content_type: "", response_topic: "", correlation: "", expiry: "", utf8: false, user: [] };

// User Properties: pairs, any of which may come again.
export const Pairs = ({ pairs, onInput, legend = t.publish.user }) => {
    const p = t.publish;
    const change = (at, pair) => onInput(pairs.map((one, place) => (place === at ? pair : one)));
    return html`<fieldset><legend>${legend}</legend>
        ${pairs.map(([name, value], at) => html`<div class="row"><div class="grow"><${Input} aria-label=${p.name} placeholder=${p.name} value=${name} onInput=${(next) => change(at, [next, value])} /></div><div class="grow"><${Input} aria-label=${p.value} placeholder=${p.value} value=${value} onInput=${(next) => change(at, [name, next])} /></div><${Button} kind="plain" icon="close" aria-label=${p.remove} onClick=${() => onInput(pairs.filter((_, place) => place !== at))} /></div>`)}
        <${Button} small icon="plus" onClick=${() => onInput([...pairs, ["", ""]])}>${p.add}<//>
    </fieldset>`;
};

// `on(name)` takes the new value of a field.
export const PropertyFields = ({ form, on }) => {
    const p = t.publish;
    const wrong = correlationOf(form) === null ? p.wrongHex : null;
    return html`<div class="cols">
            <${Field} label=${p.contentType}><${Input} value=${form.content_type} onInput=${on("content_type")} placeholder="application/json" /><//>
            <${Field} label=${p.responseTopic}><${Input} mono value=${form.response_topic} onInput=${on("response_topic")} /><//>
            <${Field} label=${p.correlation} error=${wrong}><${Input} value=${form.correlation} onInput=${on("correlation")} placeholder=${p.correlationMore} aria-invalid=${String(Boolean(wrong))} /><//>
            <${Field} label=${p.expiry}><${Input} type="number" min="0" max="4294967295" value=${form.expiry} onInput=${on("expiry")} /><//>
        </div>
        <${Check} checked=${form.utf8} onInput=${on("utf8")} label=${p.utf8} />
        <${Pairs} pairs=${form.user} onInput=${on("user")} />`;
};

const pairsOf = (pairs) => pairs.filter(([name, value]) => name || value);

// Bytes: of a text, or of hexadecimal digits after 0x; `null`: they are not digits.
export const correlationOf = ({ correlation }) => (/^0x/i.test(correlation) ? fromHex(correlation) : new TextEncoder().encode(correlation));

// As the API has them, without those that are empty.
export const propertiesOf = (form) => {
    const properties = {};
    const correlation = correlationOf(form);
    const user = pairsOf(form.user);
    if (form.content_type) properties.content_type = form.content_type;
    if (form.response_topic) properties.response_topic = form.response_topic;
    if (correlation?.length) properties.correlation_data = toBase64(correlation);
    if (form.expiry !== "") properties.message_expiry_interval = Number(form.expiry);
    if (form.utf8) properties.payload_format_indicator = true;
    if (user.length) properties.user_property = user;
    return properties;
};

// A name may have several values.
export const pairsOfMqtt = (pairs) => {
    const all = Object.create(null);
    pairsOf(pairs).forEach(([name, value]) => (all[name] ??= []).push(value));
    return Object.keys(all).length ? { userProperties: all } : {};
};

// As MQTT.js has them.
export const propertiesOfMqtt = (form) => {
    const { content_type, response_topic, message_expiry_interval, payload_format_indicator } = propertiesOf(form);
    const correlation = correlationOf(form);
    return {
        ...(content_type && { contentType: content_type }),
        ...(response_topic && { responseTopic: response_topic }),
        ...(correlation?.length && { correlationData: correlation }),
        ...(message_expiry_interval !== undefined && { messageExpiryInterval: message_expiry_interval }),
        ...(payload_format_indicator && { payloadFormatIndicator: true }),
        ...pairsOfMqtt(form.user),
    };
};

// Those of a received message, with the names of the API; bytes as text, or else as digits.
export const shownOfMqtt = (properties = {}) => {
    const { contentType, responseTopic, correlationData, messageExpiryInterval, payloadFormatIndicator, userProperties } = properties;
    const shown = {};
    if (contentType) shown.content_type = contentType;
    if (responseTopic) shown.response_topic = responseTopic;
    if (correlationData) {
        const all = Uint8Array.from(correlationData);
        shown.correlation_data = all.every((byte) => byte >= 0x20 && byte < 0x7f) ? String.fromCharCode(...all) : `0x${[...all].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    }
    if (messageExpiryInterval !== undefined) shown.message_expiry_interval = messageExpiryInterval;
    if (payloadFormatIndicator) shown.payload_format_indicator = true;
    const user = Object.entries(userProperties ?? {}).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
    if (user.length) shown.user_property = user;
    return shown;
};
