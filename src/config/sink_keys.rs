//! The keys of `[[sink]]`: a part of the table in `keys`.

use std::time::Duration;

use super::{
    bridge::Name,
    forms::{self, Form, OptionalPath, OrWord, Size, Switch, Whole},
    keys::{CENTURY, HOUR, Key, MOST_BYTES, SECOND, Table, count, keys, span},
    lists::{Text, Texts},
    sink::SinkConfig,
};

/// `[[sink]]`
pub(super) const SINK: Table<SinkConfig> = Table {
    name: "sink",
    help: "A file sink: writes published messages to a file; may be repeated.",
    keys: keys! { SinkConfig, sink => sink;
        name: Name, "The name of the sink in the log, in metrics and in the API; it must be unique.";
        file: OptionalPath,
            "The file: a recording in lines of JSON, which \"dunlin replay\" reads. An earlier recording is continued.";
        filter: Texts(Text("sensors/#")),
            "Messages are written if one of these Topic Filters matches their topic. Messages to topics that begin with $ \
             are never written.";
        batch: Whole { min: 1, max: 10_000 }, "Messages that are written at a time, with one fsync, at most.";
        linger: span(Duration::ZERO, HOUR), "How long a message waits for others, to be written in one batch with them.";
        queue: count(1),
            "Messages that wait to be written. They are stored in data_dir; without one they are in memory. Further ones \
             are lost, and counted.";
        queue_bytes: Size { min: 1, max: MOST_BYTES }, "Bytes (topics and payloads) of those messages.";
        rotate_size: OrWord { form: Size { min: 4096, max: MOST_BYTES }, word: "off", zero: false },
            "At this size the file is renamed (its name gets the time) and a new one begins.";
        rotate_after: OrWord { form: span(SECOND, CENTURY), word: "off", zero: false },
            "The same at this age of the file, if it has messages.";
        rotate_keep: Whole { min: 0, max: 100_000 }, "Renamed files to keep; the oldest ones are removed. 0: all.";
        compress: Switch, "Compress renamed files with gzip.";
    },
};
