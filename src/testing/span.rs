//! [`Span`]: a duration in JSON: `"25h"`, or a number of seconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Seconds(f64),
        }
        let wrong = |text: &dyn std::fmt::Display| {
            D::Error::custom(format!("{text} is not a duration: write \"25h\", \"1m 30s\", \"200ms\", or seconds"))
        };
        match Written::deserialize(deserializer).map_err(|_| wrong(&"this"))? {
            Written::Text(text) => {
                humantime::parse_duration(&text).map(Self).map_err(|_| match text.trim().parse::<f64>() {
                    Ok(_) => D::Error::custom(format!(
                        "{text:?} has no unit: write \"{text}s\", or a number of seconds without quotation marks"
                    )),
                    Err(_) => wrong(&text),
                })
            }
            Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| wrong(&seconds)),
        }
    }
}

/// As text: `25h`.
pub(super) fn shown(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_shown() {
        let read =
            |text: &str| serde_json::from_str::<Span>(text).map(|span| span.0).map_err(|error| error.to_string());
        assert_eq!(read("\"25h\""), Ok(Duration::from_secs(90_000)));
        assert_eq!(read("0.25"), Ok(Duration::from_millis(250)));
        assert!(
            read("\"50\"").unwrap_err().contains("\"50\" has no unit: write \"50s\", or a number of seconds without")
        );
        for wrong in ["\"soon\"", "-1", "true", "1e300"] {
            assert!(read(wrong).unwrap_err().contains("is not a duration"), "{wrong}");
        }
    }
}
