//! [`Junit`]: a report in the XML of JUnit, which CI services show: one test case for each expectation, and for each
//! client that violated the specification.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;

use super::strict::Violation;

/// The report of one run.
pub(super) struct Junit {
    path: PathBuf,
    expectations: Mutex<Vec<Case>>,
}

struct Case {
    name: String,
    took: Duration,
    failure: Option<String>,
}

/// Expectations in the report.
const MOST: usize = 10_000;

impl Junit {
    /// Creates the file, or replaces the one of an earlier run.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        fs::File::create(path)?;
        Ok(Self { path: path.to_owned(), expectations: Mutex::default() })
    }

    /// Records the result of an expectation. `failure`: why it was not met.
    pub(super) fn note(&self, name: String, took: Duration, failure: Option<String>) {
        let mut cases = self.expectations.lock();
        if cases.len() < MOST {
            cases.push(Case { name, took, failure });
        }
    }

    /// Writes the file. `violations`: those of all clients in strict mode.
    pub(super) fn write(&self, violations: &[Violation]) -> io::Result<()> {
        fs::write(&self.path, self.text(violations))
    }

    fn text(&self, violations: &[Violation]) -> String {
        let mut clients: Vec<(&str, Vec<String>)> = Vec::new();
        // warnings are legal
        for one in violations.iter().filter(|one| one.statement.is_some()) {
            let client = one.client.as_deref().unwrap_or("unknown");
            match clients.iter_mut().find(|(name, _)| *name == client) {
                Some((_, all)) => all.push(one.to_string()),
                None => clients.push((client, vec![one.to_string()])),
            }
        }
        let of_client = |(client, all): (&str, Vec<String>)| Case {
            name: format!("client {client}"),
            took: Duration::ZERO,
            failure: Some(all.join("\n")),
        };
        let clients: Vec<_> = clients.into_iter().map(of_client).collect();
        let expectations = self.expectations.lock();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"dunlin test\">\n");
        suite(&mut xml, "expectations", &expectations);
        suite(&mut xml, "specification", &clients);
        xml.push_str("</testsuites>\n");
        xml
    }
}

fn suite(xml: &mut String, name: &str, cases: &[Case]) {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let _ = writeln!(xml, "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\">", cases.len());
    for Case { name: case, took, failure } in cases {
        let (case, seconds) = (escaped(case), took.as_secs_f64());
        let _ = write!(xml, "<testcase classname=\"dunlin.{name}\" name=\"{case}\" time=\"{seconds:.3}\"");
        match failure {
            None => xml.push_str("/>\n"),
            Some(text) => {
                let first = escaped(text.lines().next().unwrap_or_default());
                let _ = writeln!(xml, "><failure message=\"{first}\">{}</failure></testcase>", escaped(text));
            }
        }
    }
    xml.push_str("</testsuite>\n");
}

/// For texts and attributes of XML 1.0, which cannot contain most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(one),
            '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            _ => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_clients_cannot_break_the_report() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.xml");
        let junit = Junit::create(&path).unwrap();
        junit.note("\"a/<b>\" \u{1}".into(), Duration::from_millis(12), None);
        let violation = |statement: Option<&str>| Violation {
            client: Some("\"&".into()),
            statement: statement.map(Into::into),
            text: "]]>".into(),
        };
        junit.write(&[violation(Some("MQTT-3.1.2-1")), violation(None)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#"tests="1" failures="0""#) && text.contains(r#"tests="1" failures="1""#), "{text}");
        assert!(text.contains("name=\"&quot;a/&lt;b&gt;&quot; \u{FFFD}\" time=\"0.012\"/>"), "{text}");
        assert!(text.contains("client &quot;&amp;") && text.contains("]]&gt; [MQTT-3.1.2-1]"), "{text}");
    }
}
