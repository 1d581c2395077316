//! The log of the binary: `tracing` events as lines on standard error, in a file and in syslog, in text or JSON, with a
//! level that can be changed at run time. It formats lines and does not decide which ones are logged.

use std::{
    fmt::{Debug, Write},
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use dunlin::{
    Clock,
    config::{LogConfig, LogFormat, LogLevel},
    log_lines,
};
use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    field::RecordFields,
    filter::{LevelFilter, Targets},
    fmt::{
        self, FmtContext, FormatEvent, FormatFields,
        format::{JsonFields, Writer},
        time::FormatTime,
    },
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use crate::destinations::{DEV_LOG, LogFile, Rotation, Syslog};

/// Changes the level of the log that [`init`] set up. Dropping it writes all queued lines.
pub struct LevelHandle {
    level: reload::Handle<Targets, Registry>,
    lines: Lines,
}

impl LevelHandle {
    /// Reopens the log's file by its name.
    pub fn reopen(&self) {
        // if the queue is full, the old file is written further
        let _ = self.lines.queue.try_send(Entry::Reopen);
    }

    /// Applies another configuration of the log.
    pub fn set(&self, log: &LogConfig) -> anyhow::Result<()> {
        self.level.reload(targets(log)).context("cannot change the log level")
    }
}

impl Drop for LevelHandle {
    fn drop(&mut self) {
        self.lines.flush();
    }
}

/// Sends all later events to the configured destinations. `remembers`: the last lines are kept for those who read the
/// log over HTTP. Call it once in a process.
pub fn init(log: &LogConfig, remembers: bool) -> anyhow::Result<LevelHandle> {
    let (filter, handle) = reload::Layer::new(targets(log));
    let outputs = Outputs::open(log)?;
    let has =
        [(To::Stderr, log.to_stderr()), (To::File, outputs.file.is_some()), (To::Syslog, outputs.syslog.is_some())];
    let queue = Lines::start(outputs).context("cannot set up the log")?;
    let layers: Vec<_> = has.into_iter().filter(|(_, has)| *has).map(|(to, _)| layer(log.format, &queue, to)).collect();
    tracing_subscriber::registry()
        .with(filter)
        .with(layers)
        .with(remembers.then_some(Remembered))
        .try_init()
        .context("cannot set up the log")?;
    Ok(LevelHandle { level: handle, lines: queue })
}

/// Remembers the last lines, for those who read the log over HTTP.
struct Remembered;

impl<S: Subscriber> Layer<S> for Remembered {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = String::new();
        if TextFields.format_fields(Writer::new(&mut text), event).is_ok() {
            log_lines().add(Clock::system().wall(), event.metadata().level().as_str(), text);
        }
    }
}

/// The layer that formats lines for one destination.
fn layer<S>(format: LogFormat, queue: &Lines, to: To) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let queue = Lines { to, ..queue.clone() };
    let is_terminal = to == To::Stderr && io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(move || queue.clone()).with_ansi(is_terminal);
    let has_priority = to == To::Syslog || to == To::Stderr && format == LogFormat::Text && is_journal();
    match format {
        _ if has_priority => {
            let format = WithTarget::of(|target| fmt::format().without_time().with_ansi(false).with_target(target));
            lines.fmt_fields(TextFields).event_format(ForJournal(format)).boxed()
        }
        LogFormat::Text => {
            let format = WithTarget::of(|target| fmt::format().with_timer(Utc).with_target(target));
            lines.fmt_fields(TextFields).event_format(format).boxed()
        }
        LogFormat::Json => {
            let format = |target| fmt::format().with_timer(Utc).json().flatten_event(true).with_target(target);
            lines.fmt_fields(JsonFields::new()).event_format(WithTarget::of(format)).boxed()
        }
    }
}

/// Writes on standard error why the process ends, before the log has begun or after it has ended: as one JSON line if
/// the log has that format.
pub fn failure(text: &str, format: LogFormat) {
    let line = match format {
        LogFormat::Text if is_journal() => format!("<{}>dunlin: {text}", priority(Level::ERROR)),
        LogFormat::Text => format!("dunlin: {text}"),
        LogFormat::Json => json_line(text),
    };
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes all errors, a line each. Returns the exit code of the process.
pub fn failures(texts: &[String], format: LogFormat) -> ExitCode {
    texts.iter().for_each(|text| failure(text, format));
    ExitCode::FAILURE
}

fn json_line(message: &str) -> String {
    let timestamp = humantime::format_rfc3339_millis(Clock::system().wall()).to_string();
    let line = Line { timestamp, level: "ERROR", message };
    serde_json::to_string(&line).unwrap_or_default()
}

/// A line with the names and the order of the log's own lines.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: &'a str,
}

/// An error and its causes. Most errors contain the text of their cause; it is not repeated.
pub fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|told, cause| match told.contains(&cause) {
            true => told,
            false => format!("{told}: {cause}"),
        })
        .unwrap_or_default()
}

/// The queue to the thread that writes lines. If the destination does not accept them, lines are dropped and counted,
/// and clients are served.
#[derive(Clone)]
struct Lines {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicUsize>,
    to: To,
}

/// The destination of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Stderr,
    File,
    Syslog,
}

enum Entry {
    Line(To, Vec<u8>),
    /// Reopens the file.
    Reopen,
    /// Is answered after all earlier lines were written.
    Flush(SyncSender<()>),
}

/// Capacity of the queue in lines.
const WAITING: usize = 4096;
/// How long the end of the process waits for a reader of the log.
const AT_THE_END: Duration = Duration::from_secs(1);

impl Lines {
    fn start(outputs: Outputs) -> io::Result<Self> {
        let (queue, entries) = sync_channel(WAITING);
        let dropped = Arc::<AtomicUsize>::default();
        let count = dropped.clone();
        thread::Builder::new().name("dunlin-log".into()).spawn(move || outputs.write_lines(&entries, &count))?;
        Ok(Self { queue, dropped, to: To::Stderr })
    }

    fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if self.queue.try_send(Entry::Flush(done)).is_ok() {
            // a slower reader loses the last lines
            let _ = is_done.recv_timeout(AT_THE_END);
        }
    }
}

/// The destinations beside standard error.
#[derive(Default)]
struct Outputs {
    file: Option<LogFile>,
    syslog: Option<Syslog>,
    /// The last write to the file failed, and was reported on standard error.
    is_failing: bool,
}

impl Outputs {
    fn open(log: &LogConfig) -> anyhow::Result<Self> {
        let rotation = log.rotate_size.map(|size| Rotation { size: size as u64, keep: log.rotate_keep });
        let open = |path: &PathBuf| {
            LogFile::open(path, rotation).with_context(|| format!("cannot open the log {} (log.file)", path.display()))
        };
        let file = log.file.as_ref().map(open).transpose()?;
        let syslog = log.syslog.map(|facility| Syslog::open(DEV_LOG.as_ref(), facility.number()));
        Ok(Self { file, syslog: syslog.transpose().context("cannot log to syslog")?, is_failing: false })
    }

    /// Runs until all senders are dropped. A failed write to standard error is ignored: it cannot be reported.
    fn write_lines(mut self, entries: &Receiver<Entry>, dropped: &AtomicUsize) {
        for entry in entries {
            match entry {
                Entry::Line(to, line) => self.write(to, &line),
                Entry::Reopen => {
                    let reopened = self.file.as_mut().map_or(Ok(()), LogFile::reopen);
                    self.tell(reopened);
                }
                Entry::Flush(done) => {
                    let _ = done.try_send(());
                }
            }
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(
                    lines = lost,
                    "lines of the log were dropped: they were written faster than they were read"
                );
            }
        }
    }

    fn write(&mut self, to: To, line: &[u8]) {
        match to {
            To::Stderr => _ = io::stderr().write_all(line),
            To::File => {
                let written = self.file.as_mut().map_or(Ok(()), |file| file.write(line));
                self.tell(written);
            }
            // syslog may be started later
            To::Syslog => _ = self.syslog.as_ref().map(|syslog| syslog.write(line)),
        }
    }

    /// Reports once on standard error that the file cannot be written.
    fn tell(&mut self, written: io::Result<()>) {
        if let (Err(error), false) = (&written, self.is_failing) {
            failure(&format!("the log cannot be written to log.file: {error}"), LogFormat::Text);
        }
        self.is_failing = written.is_err();
    }
}

impl io::Write for Lines {
    /// One call is one event.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Entry::Line(self.to, line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// dunlin's lines at the configured level; warnings of other crates; connects and disconnects if `log.connections` is
/// set.
fn targets(log: &LogConfig) -> Targets {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let of_clients = if log.connections { level } else { level.min(LevelFilter::WARN) };
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("dunlin", level);
    targets.with_target("dunlin::net::clients", of_clients)
}

/// The message and fields of a text line. Clients choose some values, such as their Client Identifier, and may put any
/// character in them. So a value is quoted and escaped unless it can only be read as one value. (JSON always quotes.)
pub struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut line = TextLine { out: &mut out, value: String::new(), is_first: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct TextLine<'a, 'w> {
    out: &'a mut Writer<'w>,
    /// The text of the current field.
    value: String,
    is_first: bool,
    result: std::fmt::Result,
}

impl TextLine<'_, '_> {
    fn write(&mut self, name: &str) -> std::fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_char(' ')?;
        }
        match &*self.value {
            // its words are constants of the program
            message if name == "message" => OneLine(self.out).write_str(message),
            value if is_one_word(value) => write!(self.out, "{name}={value}"),
            value => write!(self.out, "{name}={value:?}"),
        }
    }
}

impl Visit for TextLine<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.value.clear();
        let written = write!(self.value, "{value:?}");
        self.result = self.result.and(written).and_then(|()| self.write(field.name()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Can this text be read as one value without quotes? False if it has a character that ends a value, begins another
/// field, is an escape, or is invisible.
fn is_one_word(text: &str) -> bool {
    let is_shown = |c: char| c.is_ascii_graphic() || !c.is_ascii() && c.escape_debug().len() == 1;
    let stands = |c: char| !matches!(c, '=' | '"' | '\\') && !c.is_whitespace() && is_shown(c);
    !text.is_empty() && text.chars().all(stands)
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

/// Does systemd's journal read standard error? `JOURNAL_STREAM` has the device and inode of the stream that systemd
/// passed; standard error may be another one by now (systemd.exec(5)).
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let about = dunlin::platform::device_and_inode(io::stderr());
    about.is_some_and(|(device, inode)| stream == format!("{device}:{inode}"))
}

/// The priority in syslog(3) of a line of this level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Adds the module that wrote a line if that helps: at level debug or trace, and if it is not dunlin's.
struct WithTarget<F> {
    with: F,
    without: F,
}

impl<F> WithTarget<F> {
    /// `format` makes a formatter with the module's name, or one without.
    fn of(format: impl Fn(bool) -> F) -> Self {
        Self { with: format(true), without: format(false) }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTarget<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, out: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let about = event.metadata();
        let is_plain = *about.level() <= Level::INFO && about.target().starts_with("dunlin");
        if is_plain { &self.without } else { &self.with }.format_event(context, out, event)
    }
}

/// A text line after the prefix from which the journal and syslog take its priority (sd-daemon(3)). They add time
/// stamps themselves.
struct ForJournal<F>(F);

impl<S, N, F> FormatEvent<S, N> for ForJournal<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        write!(out, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, out, event)
    }
}

/// ISO 8601 in UTC with milliseconds.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        write!(out, "{}", humantime::format_rfc3339_millis(Clock::system().wall()))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::{TextFields, told};

    /// What the log writes of `event`, behind its target.
    fn line(event: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Buffer(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Buffer {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(line)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let buffer = Buffer::default();
        let writer = {
            let buffer = buffer.clone();
            move || buffer.clone()
        };
        let lines = fmt::layer().with_writer(writer).with_ansi(false).fmt_fields(TextFields);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), event);
        let written = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let (_, line) = written.split_once("log::tests: ").unwrap();
        line.to_owned()
    }

    #[test]
    fn a_value_is_logged_plain_or_quoted() {
        for (value, written) in [
            ("lamp", "lamp"),
            ("sensor/7:a,b;c'd[e]{f}(g)<h>%#@~`", "sensor/7:a,b;c'd[e]{f}(g)<h>%#@~`"),
            ("Küche-東京", "Küche-東京"),
            ("", r#""""#),
            ("a lamp", r#""a lamp""#),
            ("lamp user=root", r#""lamp user=root""#),
            ("user=root", r#""user=root""#),
            ("\" user=root", r#""\" user=root""#),
            ("a\"b", r#""a\"b""#),
            ("a\\", r#""a\\""#),
            ("a\u{a0}b", r#""a\u{a0}b""#),
            ("a\u{2028}b", r#""a\u{2028}b""#),
            ("a\u{202e}b", r#""a\u{202e}b""#),
            ("a\nb\tc\x1b[31m\u{85}", r#""a\nb\tc\u{1b}[31m\u{85}""#),
        ] {
            let expected = format!("said client={written} qos=1\n");
            assert_eq!(line(|| tracing::info!(client = %value, qos = 1, "said")), expected);
            assert_eq!(line(|| tracing::info!(client = value, qos = 1, "said")), expected);
        }
    }

    #[test]
    fn fields_of_other_types() {
        let line = line(|| {
            let error = io::Error::other("it is full");
            let error: &dyn std::error::Error = &error;
            let none = None::<u8>;
            tracing::info!(error, codes = ?[1, 2], yes = true, none, some = Some(1.5), "a b\n=c");
        });
        assert_eq!(line, "a b\\n=c error=\"it is full\" codes=\"[1, 2]\" yes=true some=1.5\n");
    }

    #[test]
    fn a_cause_of_an_error_is_shown_once() {
        let system = || io::Error::from_raw_os_error(13);
        let text = system().to_string();
        let within = anyhow::Error::new(dunlin::store::tools::ToolError::Output(system()));
        assert_eq!(told(&within), format!("cannot write the report: {text}"));
        let behind = anyhow::Error::new(system()).context("cannot start");
        assert_eq!(told(&behind), format!("cannot start: {text}"));
    }
}
