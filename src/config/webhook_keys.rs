//! The keys of `[[webhook]]`: a part of the table in `keys`.

use std::time::Duration;

use super::{
    bridge::Name,
    forms::{self, Choice, Form, OptionalPath, Size, Switch, Whole},
    keys::{DAY, HOUR, Key, MILLISECOND, MOST_BYTES, Table, count, keys, span},
    lists::{List, Text, Texts},
    urls::Url,
    webhook::WebhookConfig,
};
use crate::types::{PayloadForm, Told};

/// `[[webhook]]`
pub(super) const WEBHOOK: Table<WebhookConfig> = Table {
    name: "webhook",
    help: "A webhook: sends events to a service over HTTP; may be repeated.",
    keys: keys! { WebhookConfig, webhook => webhook;
        name: Name, "The name of the webhook in the log, in metrics and in the API; it must be unique.";
        url: Url, "Where events are sent, by POST. A redirect is not followed, and no proxy is used.";
        events: List(Choice(&Told::WORDS)), "The events to send.";
        filter: Texts(Text("sensors/#")),
            "Of events about messages: those whose topic one of these Topic Filters matches. Messages to topics that begin \
             with $ are never sent.";
        clients: Text("device-*"),
            "Of events about clients and their messages: those of the Client Identifiers that this matches; * stands for \
             any characters.";
        payload: Choice(&[
            ("base64", PayloadForm::Base64),
            ("text", PayloadForm::Text),
            ("json", PayloadForm::Json),
            ("none", PayloadForm::None),
        ]),
            "How payloads are written: as payload_base64, as payload (a text or a JSON value; a payload that is none is \
             written as payload_base64), or not at all.";
        batch: Whole { min: 1, max: 10_000 }, "Events in one request, at most.";
        linger: span(Duration::ZERO, HOUR), "How long an event waits for others, to be sent in one request with them.";
        secret_file: OptionalPath,
            "A file with a secret on each line, such as \"whsec_\" and base64: requests are signed with each of them, as \
             Standard Webhooks has it. It is read for each request. Unset: requests are not signed.";
        queue: count(1), "Queued events. Further ones are lost, and the next request has their number.";
        queue_bytes: Size { min: 1, max: MOST_BYTES }, "Bytes of those events, as JSON.";
        timeout: span(MILLISECOND, DAY), "How long a request and its answer may take.";
        durable: Switch,
            "Store published messages in data_dir until the service has accepted them: they arrive at least once, also after \
             kill -9. Other events are not stored.";
        rejected_bytes: Size { min: 1, max: MOST_BYTES },
            "With durable: the largest size of rejected.jsonl in data_dir, which has the messages that the service refused (400, \
             413, 422). When it is full, nothing is sent until it is moved away.";
        ca_file: OptionalPath, "TLS: the authorities of the service's certificate, in PEM. Unset: those of this machine.";
    },
};
