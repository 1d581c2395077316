//! The log of the binary: `tracing` events as lines on standard error, in text or JSON, with a level that can be changed
//! while it runs. What is logged is the business of those who log it.

use std::{
    fmt::{Debug, Write},
    io::{self, IsTerminal},
    time::SystemTime,
};

use anyhow::Context;
use dunlin::config::{LogConfig, LogFormat, LogLevel};
use tracing::field::Field;
use tracing_subscriber::{
    Layer, Registry,
    field::MakeExt,
    filter::{LevelFilter, Targets},
    fmt::{
        self,
        format::{self, Writer},
        time::FormatTime,
    },
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// Changes the level of the log that [`init`] set up.
pub struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    /// From now on the log says what `level` says.
    pub fn set(&self, level: LogLevel) -> anyhow::Result<()> {
        self.0.reload(targets(level)).context("cannot change the log level")
    }
}

/// Sends every event from here on to standard error. Once in a process.
pub fn init(log: &LogConfig) -> anyhow::Result<LevelHandle> {
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let lines = fmt::layer().with_writer(io::stderr).with_timer(Utc).with_ansi(io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.fmt_fields(format::debug_fn(one_field).delimited(" ")).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("cannot set up the log")?;
    Ok(LevelHandle(handle))
}

/// Dunlin at `level`; of what others say, warnings.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("dunlin", level)
}

/// A field of a text line. What clients chose, as their Client Identifier, may hold any character: those that would begin
/// a new line or command a terminal are written as escapes. (JSON has its own.)
fn one_field(out: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    if field.name() != "message" {
        write!(out, "{}=", field.name())?;
    }
    write!(OneLine(out), "{value:?}")
}

struct OneLine<'a, 'w>(&'a mut Writer<'w>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            let plain = piece.trim_end_matches(char::is_control);
            self.0.write_str(plain)?;
            piece[plain.len()..].chars().try_for_each(|c| write!(self.0, "{}", c.escape_default()))?;
        }
        Ok(())
    }
}

/// ISO 8601 in UTC with milliseconds.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        write!(out, "{}", humantime::format_rfc3339_millis(SystemTime::now()))
    }
}
