//! [`Outcome`]: what an answer to a request means.

use std::time::{Duration, SystemTime};

use hyper::{
    StatusCode,
    header::{HeaderValue, RETRY_AFTER},
};

use crate::outbound::HttpAnswer;

/// Outcome of a request.
pub(super) enum Outcome {
    Taken,
    Refused(String),
    /// Retry, not earlier than after this time.
    Again(String, Duration),
}

/// Longest Retry-After that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// `durable`: the events are durable messages, which only an answer about the events themselves refuses.
pub(super) fn outcome(answer: &HttpAnswer, durable: bool, now: SystemTime) -> Outcome {
    let status = answer.status;
    let why = || format!("the service answered {status}{}", said(answer));
    let after = || answer.headers.get(RETRY_AFTER).and_then(|value| after(value, now)).unwrap_or_default();
    match status {
        status if status.is_success() => Outcome::Taken,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Outcome::Again(why(), after()),
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Outcome::Refused(why())
        }
        status if status.is_client_error() && !durable => Outcome::Refused(why()),
        // also redirects, which are not followed
        _ => Outcome::Again(why(), after()),
    }
}

/// The start of the answer's text, if it is short.
fn said(answer: &HttpAnswer) -> String {
    match std::str::from_utf8(&answer.body).map(str::trim) {
        Ok(text) if answer.is_whole && !text.is_empty() && text.len() <= 200 && !text.contains(char::is_control) => {
            format!(": {text}")
        }
        _ => String::new(),
    }
}

/// The wait that a Retry-After asks for: in seconds, or until a time.
fn after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text)?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time such as "Sun, 06 Nov 1994 08:49:37 GMT", the form that senders must use (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<SystemTime> {
    let (_, date) = text.strip_suffix(" GMT")?.split_once(", ")?;
    let [day, month, year, time] = date.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, body::Bytes};

    use super::*;

    /// What becomes of a request of events, and of one of durable messages.
    fn of(status: u16, retry_after: Option<&'static str>) -> [String; 2] {
        let mut headers = HeaderMap::new();
        retry_after.into_iter().for_each(|value| _ = headers.insert(RETRY_AFTER, HeaderValue::from_static(value)));
        let status = StatusCode::from_u16(status).unwrap();
        let answer = HttpAnswer { status, headers, body: Bytes::new(), is_whole: true };
        let now = humantime::parse_rfc3339("1994-11-06T08:49:00Z").unwrap();
        [false, true].map(|durable| match outcome(&answer, durable, now) {
            Outcome::Taken => "taken".into(),
            Outcome::Refused(_) => "refused".into(),
            Outcome::Again(_, after) => format!("again after {after:?}"),
        })
    }

    #[test]
    fn an_answer_s_status_decides_whether_a_request_is_repeated() {
        let table = [
            (200, None, "taken"),
            (204, None, "taken"),
            (400, None, "refused"),
            (413, None, "refused"),
            (422, None, "refused"),
            (302, None, "again after 0ns"),
            (408, None, "again after 0ns"),
            (429, Some("7"), "again after 7s"),
            (429, Some("soon"), "again after 0ns"),
            (429, Some("99999999"), "again after 3600s"),
            (500, None, "again after 0ns"),
            (503, Some("2"), "again after 2s"),
            (503, Some("Sun, 06 Nov 1994 08:49:37 GMT"), "again after 37s"),
            (503, Some("Sun, 06 Nov 1994 08:48:37 GMT"), "again after 0ns"),
            (503, Some("Mon, 07 Nov 1994 08:49:37 GMT"), "again after 3600s"),
            (503, Some("Sun, 99 Nov 1994 08:49:37 GMT"), "again after 0ns"),
            (503, Some("Sunday, 06-Nov-94 08:49:37 GMT"), "again after 0ns"),
        ];
        for (status, retry_after, expected) in table {
            assert_eq!(of(status, retry_after), [expected; 2], "{status} {retry_after:?}");
        }
    }

    #[test]
    fn answers_that_are_not_about_the_events_do_not_refuse_durable_messages() {
        for status in [401, 403, 404, 405, 410, 415] {
            assert_eq!(of(status, None), ["refused", "again after 0ns"], "{status}");
        }
    }
}
