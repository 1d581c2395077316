//! `users` and `rules`: edit the password file and the ACL file of the configuration. A change is in force when it is
//! answered.

use std::num::NonZeroU32;

use axum::http::{HeaderValue, StatusCode, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::{
    super::{
        control::{NewPassword, RuleEdit, RuleShown, RulesShown, Whom},
        problem::Problem,
    },
    call::{Answer, Call, answer, check_fields},
    keys::file_problem,
    parameters::{Kind, Parameter, bad},
    schema::{Is, Shape, field, nullable, optional},
};

pub(super) static USER: Shape =
    Shape { name: "User", fields: &[field("name", Is::Text), field("stored", Is::Text), nullable("role", Is::Text)] };

/// The password of a user.
pub(super) static PASSWORD: Shape =
    Shape { name: "NewPassword", fields: &[field("password", Is::Text), optional("scram_iterations", Is::Number)] };

/// The answer to an edit.
pub(super) static EDITED: Shape =
    Shape { name: "Edited", fields: &[field("result", Is::Text), field("version", Is::Text)] };

/// The answer to an edit of rules, with a warning about a rule that is hardly meant.
pub(super) static RULES_EDITED: Shape = Shape {
    name: "RulesEdited",
    fields: &[field("result", Is::Text), nullable("warning", Is::Text), field("version", Is::Text)],
};

/// The answer to a deleted user, with the number of its rules that are left in the ACL file.
pub(super) static DELETED: Shape = Shape {
    name: "UserDeleted",
    fields: &[field("result", Is::Text), field("rules_left", Is::Number), field("version", Is::Text)],
};

static RULE: Shape = Shape {
    name: "Rule",
    fields: &[
        field("line", Is::Number),
        field("for", Is::Text),
        nullable("user", Is::Text),
        field("access", Is::Text),
        field("filter", Is::Text),
    ],
};

pub(super) static RULES: Shape = Shape {
    name: "Rules",
    fields: &[field("text", Is::Text), field("rules", Is::List(&RULE)), field("version", Is::Text)],
};

/// The whole text, or one rule.
pub(super) static NEW_RULES: Shape = Shape {
    name: "NewRules",
    fields: &[
        optional("text", Is::Text),
        optional("for", Is::Text),
        optional("user", Is::Text),
        optional("access", Is::Text),
        optional("filter", Is::Text),
    ],
};

const FOR: [&str; 3] = ["anonymous", "user", "everybody"];

pub(super) static WHICH_RULE: [Parameter; 3] = [
    Parameter::new("for", Kind::Choice(&FOR), "Whom the rule is for; default \"user\""),
    Parameter::new("user", Kind::Text, "The user of the rule"),
    Parameter::required("filter", Kind::Text, "The filter, as written in the file"),
];

pub(super) async fn list(call: Call) -> Answer {
    let (users, version) = call.desk.control.users().await.map_err(file_problem)?;
    let after = call.query.text("cursor").map(|text| {
        let name = BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        name.ok_or_else(|| bad("cursor", format!("{text:?} is not a cursor: take next of the answer before")))
    });
    let after = after.transpose()?;
    let mut left = users.iter().filter(|user| after.as_ref().is_none_or(|after| user.name > *after));
    let some: Vec<_> = left.by_ref().take(call.limit()).collect();
    let next = left.next().and(some.last()).map(|last| BASE64.encode(&last.name));
    let data = some.into_iter().map(|user| shown(&call, &user.name, user.stored)).collect();
    Ok(tagged(call.list(data, next)?, &version))
}

fn shown(call: &Call, name: &str, stored: &str) -> Value {
    let rules = call.state.rules.load();
    let role = rules.users.iter().find(|(known, _)| known == name).map(|(_, role)| role.name());
    json!({ "name": name, "stored": stored, "role": role })
}

pub(super) async fn one(call: Call) -> Answer {
    let (users, version) = call.desk.control.users().await.map_err(file_problem)?;
    match users.iter().find(|user| user.name == call.id) {
        Some(user) => Ok(tagged(answer(&shown(&call, &user.name, user.stored)), &version)),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "unknown-name", "there is no such user in auth.password_file")),
    }
}

pub(super) async fn set(call: Call) -> Answer {
    let body = call.json()?;
    check_fields(&body, &PASSWORD)?;
    let Some(password) = body["password"].as_str() else {
        return Err(bad("body", "password is missing, or is not a text"));
    };
    let scram_iterations = match &body["scram_iterations"] {
        Value::Null => None,
        number => match number.as_u64().filter(|number| (4_096..=1_000_000).contains(number)) {
            Some(number) => NonZeroU32::new(u32::try_from(number).unwrap_or_default()),
            None => return Err(bad("body", "scram_iterations: a number from 4096 to 1000000 is expected")),
        },
    };
    let password = NewPassword { password: password.into(), scram_iterations };
    let expected = expected(&call)?;
    let (added, version) =
        call.desk.control.set_user(call.id.clone(), password, expected).await.map_err(file_problem)?;
    Ok(edited(if added { "added" } else { "changed" }, &version))
}

pub(super) async fn delete(call: Call) -> Answer {
    let deleting = call.desk.control.delete_user(call.id.clone(), expected(&call)?);
    let (version, rules) = deleting.await.map_err(file_problem)?;
    let shown = json!({ "result": "deleted", "rules_left": rules, "version": version });
    Ok(tagged(answer(&shown), &version))
}

pub(super) async fn rules(call: Call) -> Answer {
    let RulesShown { text, rules, version } = call.desk.control.rules().await.map_err(file_problem)?;
    let rule = |RuleShown { line, of, access, filter }: &RuleShown| {
        let (word, user) = match of {
            Whom::Anonymous => (FOR[0], None),
            Whom::User(name) => (FOR[1], Some(name)),
            Whom::Everybody => (FOR[2], None),
        };
        json!({ "line": line, "for": word, "user": user, "access": access, "filter": filter })
    };
    let rules: Vec<_> = rules.iter().map(rule).collect();
    Ok(tagged(answer(&json!({ "text": text, "rules": rules, "version": version })), &version))
}

pub(super) async fn set_rules(call: Call) -> Answer {
    let body = call.json()?;
    check_fields(&body, &NEW_RULES)?;
    let text = |name: &str| match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.as_str())),
        _ => Err(bad("body", format!("{name}: a text is expected"))),
    };
    let [whole, word, user, access, filter] =
        [text("text")?, text("for")?, text("user")?, text("access")?, text("filter")?];
    let expected = expected(&call)?;
    let edit = match (whole, access, filter) {
        (Some(text), None, None) if word.is_none() && user.is_none() => {
            if call.headers.get(header::IF_MATCH).is_none() {
                let detail = "replacing the whole text needs the version that it is based on: the header If-Match";
                return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "version", detail));
            }
            RuleEdit::Text(text.to_owned())
        }
        (None, Some(access), Some(filter)) => {
            RuleEdit::Set { of: whom(word, user)?, access: access.to_owned(), filter: filter.to_owned() }
        }
        _ => return Err(bad("body", "\"text\", or \"for\" or \"user\", \"access\" and \"filter\" of one rule")),
    };
    let (version, warning) = call.desk.control.edit_rules(edit, expected).await.map_err(file_problem)?;
    Ok(rules_edited("changed", warning, &version))
}

pub(super) async fn delete_rule(call: Call) -> Answer {
    let of = whom(call.query.text("for"), call.query.text("user"))?;
    let filter = call.query.text("filter").unwrap_or_default().to_owned();
    let edit = RuleEdit::Delete { of, filter };
    let (version, _) = call.desk.control.edit_rules(edit, expected(&call)?).await.map_err(file_problem)?;
    Ok(rules_edited("deleted", None, &version))
}

fn whom(word: Option<&str>, user: Option<&str>) -> Result<Whom, Problem> {
    match (word, user) {
        (None | Some("user"), Some(user)) => Ok(Whom::User(user.to_owned())),
        (Some("anonymous"), None) => Ok(Whom::Anonymous),
        (Some("everybody"), None) => Ok(Whom::Everybody),
        _ => Err(bad("parameter", "for: \"anonymous\" or \"everybody\" is expected, or user, the name of a user")),
    }
}

/// The version that the caller read; `None`: none is required.
fn expected(call: &Call) -> Result<Option<String>, Problem> {
    let Some(value) = call.headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|tag| !tag.contains('"'));
    match (text, tag) {
        ("*", _) => Ok(None),
        (_, Some(tag)) => Ok(Some(tag.to_owned())),
        _ => Err(bad("version", "If-Match: one version in quotation marks is expected, as in ETag, or *")),
    }
}

fn edited(result: &str, version: &str) -> axum::response::Response {
    tagged(answer(&json!({ "result": result, "version": version })), version)
}

fn rules_edited(result: &str, warning: Option<String>, version: &str) -> axum::response::Response {
    tagged(answer(&json!({ "result": result, "warning": warning, "version": version })), version)
}

fn tagged(mut response: axum::response::Response, version: &str) -> axum::response::Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
