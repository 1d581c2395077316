//! Decodes answers of a service in the format of EMQX.

use serde::Deserialize;

use super::{
    acl::{Acl, AclRule},
    call::Reply,
};

/// Decision of a service.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Yes(Yes),
    /// Refused, for this reason.
    No(&'static str),
    /// The service does not know the login; the next method decides.
    Next,
}

/// An accepted login.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Yes {
    /// No rule limits this client.
    pub(in super::super) superuser: bool,
    /// The rules in the answer.
    pub(in super::super) acl: Option<Acl>,
    /// Expiry of the login in seconds since 1970.
    pub(in super::super) end: Option<f64>,
    /// The user that the answer names, of a token.
    pub(in super::super) user: Option<Box<str>>,
}

/// The JSON of an answer. Further members of EMQX's format do not restrict the client and are ignored.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    result: Word,
    #[serde(default)]
    is_superuser: bool,
    acl: Option<Vec<AclRule>>,
    expire_at: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Allow,
    Deny,
    #[default]
    Ignore,
}

/// Decodes an answer. The error says why it is not valid.
pub(super) fn read(reply: &Reply, client: &str, user: Option<&str>) -> Result<Answer, String> {
    match reply.status {
        204 => return Ok(Answer::Yes(Yes::default())),
        200 => {}
        400..=599 => return Ok(Answer::Next),
        status => return Err(format!("it answered with the status {status}")),
    }
    if !reply.is_whole {
        return Err("its answer is too long".into());
    }
    let wrong = |error| format!("its answer ({}) is not as expected: {error}", reply.kind);
    let body: Body = serde_json::from_slice(&reply.body).map_err(wrong)?;
    match body.result {
        Word::Deny => Ok(Answer::No(REFUSED)),
        Word::Ignore => Ok(Answer::Next),
        Word::Allow => {
            let acl = body.acl.map(|rules| Acl::new(rules, client, user)).transpose()?;
            Ok(match acl {
                // a wildcard in the name would make a rule match other topics
                Some(None) => Answer::No(REFUSED),
                acl => {
                    let (superuser, acl, end) = (body.is_superuser, acl.flatten(), body.expire_at);
                    Answer::Yes(Yes { superuser, acl, end, user: None })
                }
            })
        }
    }
}

const REFUSED: &str = "a login service refuses it (auth.http)";

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> String {
        let reply = Reply { status, kind: "text/x".into(), body: body.into(), is_whole: true };
        match read(&reply, "c", Some("+")) {
            Ok(Answer::Yes(Yes { superuser, acl, end, .. })) => format!("yes {superuser} {} {end:?}", acl.is_some()),
            Ok(Answer::No(_)) => "no".into(),
            Ok(Answer::Next) => "next".into(),
            Err(error) => error,
        }
    }

    #[test]
    fn answers_are_decoded_as_emqx_decodes_them() {
        for (status, body, expected) in [
            (204, "", "yes false false None"),
            (200, r#"{"result": "allow"}"#, "yes false false None"),
            (200, r#"{"result": "allow", "is_superuser": true, "x": 1}"#, "yes true false None"),
            (200, r#"{"result": "allow", "expire_at": 1700000000}"#, "yes false false Some(1700000000.0)"),
            (200, r#"{"result": "allow", "acl": []}"#, "yes false true None"),
            (
                200,
                r#"{"result": "allow", "acl": [{"permission": "allow", "action": "all", "topic": "${username}/#"}]}"#,
                "no",
            ),
            (200, r#"{"result": "deny", "is_superuser": true}"#, "no"),
            (200, r#"{"result": "ignore"}"#, "next"),
            (200, "{}", "next"),
            (400, "", "next"),
            (404, "x", "next"),
            (503, "x", "next"),
            (302, "", "it answered with the status 302"),
            (201, r#"{"result": "allow"}"#, "it answered with the status 201"),
        ] {
            assert_eq!(told(status, body), expected, "{status} {body}");
        }
        let rule = |members: &str| format!(r#"{{"result": "allow", "acl": [{{{members}}}]}}"#);
        for body in [
            "".into(),
            "allow".into(),
            "[]".into(),
            r#"{"result": "yes"}"#.into(),
            r#"{"result": "allow", "acl": {}}"#.into(),
            r#"{"result": "allow", "is_superuser": "no"}"#.into(),
            rule(r#""permission": "allow", "action": "all", "topic": "a#""#),
            rule(r#""permission": "allow", "action": "all""#),
            // an unknown member of a rule might restrict it
            rule(r#""permission": "allow", "action": "all", "topic": "a", "qos": [0]"#),
        ] {
            assert!(told(200, &body).contains("is not as expected"), "{body}: {}", told(200, &body));
        }
        let long = Reply { status: 200, kind: String::new(), body: r#"{"result": "allow"}"#.into(), is_whole: false };
        assert!(read(&long, "c", None).unwrap_err().contains("too long"));
    }
}
