//! How values and errors are written.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing_subscriber::{fmt, layer::SubscriberExt};

use crate::log::{TextFields, told};

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
    let (_, line) = written.split_once("log::format: ").unwrap();
    line.to_owned()
}

#[test]
fn a_value_stands_as_it_is_or_quoted() {
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
fn a_cause_is_told_once() {
    let system = || io::Error::from_raw_os_error(13);
    let text = system().to_string();
    let within = anyhow::Error::new(dunlin::store::tools::ToolError::Output(system()));
    assert_eq!(told(&within), format!("cannot write the report: {text}"));
    let behind = anyhow::Error::new(system()).context("cannot start");
    assert_eq!(told(&behind), format!("cannot start: {text}"));
}
