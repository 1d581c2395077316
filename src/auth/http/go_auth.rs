//! Decodes answers of a service in the formats of mosquitto-go-auth.

use serde::Deserialize;

use super::{GoAuthAnswer, call::Reply};

#[derive(Deserialize)]
struct Body {
    ok: bool,
}

/// Decodes an answer: accepted or refused. The error says why it is not valid.
pub(super) fn read(reply: &Reply, by: GoAuthAnswer) -> Result<bool, String> {
    match reply.status {
        200..=299 => {}
        400..=499 => return Ok(false),
        status => return Err(format!("it answered with the status {status}")),
    }
    match by {
        GoAuthAnswer::Status => Ok(true),
        GoAuthAnswer::Text => Ok(reply.body.trim_ascii() == b"ok"),
        GoAuthAnswer::Json => match serde_json::from_slice::<Body>(&reply.body) {
            Ok(Body { ok }) => Ok(ok),
            Err(error) => Err(format!("its answer ({}) is not as expected: {error}", reply.kind)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_of_mosquitto_go_auth_accepts_and_refuses() {
        use GoAuthAnswer::{Json, Status, Text};
        for (by, status, body, expected) in [
            (Status, 200, "anything", Some(true)),
            (Status, 204, "", Some(true)),
            (Status, 401, "", Some(false)),
            (Status, 500, "", None),
            (Status, 302, "", None),
            (Json, 200, r#"{"ok": true, "error": ""}"#, Some(true)),
            (Json, 200, r#"{"ok": false, "error": "no"}"#, Some(false)),
            (Json, 200, "ok", None),
            (Json, 200, "{}", None),
            (Json, 403, r#"{"ok": true}"#, Some(false)),
            (Text, 200, "ok", Some(true)),
            (Text, 200, "ok\n", Some(true)),
            (Text, 200, "no", Some(false)),
            (Text, 400, "ok", Some(false)),
        ] {
            let reply = Reply { status, kind: String::new(), body: body.into(), is_whole: true };
            assert_eq!(read(&reply, by).ok(), expected, "{by:?} {status} {body}");
        }
    }
}
