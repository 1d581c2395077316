//! `dunlin ctl`: sends a request to a running broker over HTTP, and shows the answer.

mod asking;
mod meant;
mod shown;
mod told;
mod traces;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use thiserror::Error;

use crate::{
    auth::FirstLine,
    config::{Cli, ConfigError, Ctl, CtlAction, RuleFor, RulesAction, Target, UsersAction},
};
use asking::{Answered, Asking, encode};

/// Why a request failed.
#[derive(Debug, Error)]
pub enum CtlError {
    /// HTTP is off. Contains the file that would turn it on, in words.
    #[error(
        "this broker serves no HTTP, so that it cannot be asked: write listen = \"127.0.0.1:9883\" below [http]{0}, and restart it"
    )]
    Nowhere(String),
    /// The system chose the port of HTTP.
    #[error(
        "http.listen has port 0, and the broker's log names the port that it got: give --url http://127.0.0.1:PORT"
    )]
    UnknownPort,
    /// Another broker than that of the configuration file.
    #[error(
        "{url}: another broker answers: it listens on {theirs}{of}; the broker of {} listens on {ours}: is it running? If \
         its log says \"no HTTP\", the port was taken: write another http.listen there. Nothing was done; --url {url} \
         asks the broker that answers",
        .file.display()
    )]
    Another {
        /// Its URL.
        url: String,
        /// The configuration file.
        file: PathBuf,
        /// The listeners of the broker that answers.
        theirs: String,
        /// Its file, in words.
        of: String,
        /// The listeners in the file.
        ours: String,
    },
    /// A server of another protocol.
    #[error(
        "{0}: no HTTP is spoken there; is it the port of MQTT, or one with TLS (https)? The broker's log names the address of \
         HTTP (http.listen)"
    )]
    NotHttp(String),
    /// Another HTTP server.
    #[error(
        "{0}: the HTTP server there does not answer as dunlin does; the broker's log names its address (http.listen)"
    )]
    NotDunlin(String),
    /// None of these.
    #[error("--url {0:?}: http://HOST:PORT, https://HOST:PORT or unix:PATH is expected")]
    Url(String),
    /// No trusted certificates are configured.
    #[error("--url {0:?}: give --ca FILE too, with the authorities that sign the broker's certificate")]
    NoAuthority(String),
    /// An invalid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file with a key or a password cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error; part of the text.
        error: io::Error,
    },
    /// A password that is asked for.
    #[error("cannot read the password: {0}; --from FILE takes it from a file")]
    Password(io::Error),
    /// JSON has texts alone.
    #[error("the password is not UTF-8: dunlin passwd sets such a one")]
    NotUtf8,
    /// A parameter without a name.
    #[error("{0:?}: NAME=VALUE is expected, such as user=alice")]
    Parameter(String),
    /// The broker does not answer.
    #[error("{url}: {error}{tip}")]
    Silent {
        /// Its URL.
        url: String,
        /// The system's error; part of the text.
        error: io::Error,
        /// What to do, or nothing.
        tip: String,
    },
    /// The broker refused the request.
    #[error("{detail} ({status} {code})")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// The error code for programs.
        code: String,
        /// The reason as text.
        detail: String,
    },
    /// The export ended too early.
    #[error("the export is not complete: its last line is missing; the log of the broker may say why")]
    CutOff,
    /// Standard output cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

/// Sends the request, and prints the answer.
pub(super) fn ask(cli: &Cli, ctl: &Ctl) -> Result<(), CtlError> {
    let asking = Asking::new(cli, ctl, login(ctl)?)?;
    if asking.needs_no_login() && (ctl.key_file.is_some() || ctl.user.is_some()) {
        eprintln!("note: the login is not looked at: a program that may open a Unix socket is an admin");
    }
    asking.check()?;
    match &ctl.action {
        CtlAction::Sub { filter, count } => {
            let path = format!("messages?qos=2&filter={}", encode(filter));
            return asking.stream(&path, *count, |_, data| shown::message(data, ctl.json));
        }
        CtlAction::Events { parameters, count } => {
            let path = format!("events{}", query(parameters)?);
            return asking.stream(&path, *count, |name, data| shown::event(name, data, ctl.json));
        }
        CtlAction::Trace { action: Some(action) } if traces::prints(action) => {
            return traces::print(&asking, action, ctl.json);
        }
        CtlAction::Export => {
            let last = asking.copy("export", |line| shown::print(&format!("{line}\n")))?;
            let is_whole = last.is_some_and(|last| last["record"] == "end");
            return if is_whole { Ok(()) } else { Err(CtlError::CutOff) };
        }
        _ => {}
    }
    let Answered { value, .. } = match &ctl.action {
        CtlAction::Import { file, only } => {
            let only = if only.is_empty() { String::new() } else { format!("?only={}", encode(&only.join(","))) };
            asking.send("POST", &format!("import{only}"), ("application/jsonl", &whole(file)?))?
        }
        action => {
            let (method, path, body) = request(action)?;
            asking.ask(method, &path, body.as_ref())?
        }
    };
    if ctl.json {
        return shown::print(&format!("{value}\n"));
    }
    if let Some(nothing) = told::nothing(&ctl.action, &value) {
        eprintln!("{nothing}");
        return Ok(());
    }
    shown::print(&told::people(&ctl.action, &value))
}

/// The verb, the path below `/api/v1/` and the body.
fn request(action: &CtlAction) -> Result<(&'static str, String, Option<Value>), CtlError> {
    let get = |path: String| Ok(("GET", path, None));
    let of = |id: &str, what: &str| format!("clients/{}{what}", encode(id));
    match action {
        CtlAction::Broker => get("broker".into()),
        CtlAction::Logins => get("logins".into()),
        CtlAction::Bridges { pause: Some(name), .. } => Ok(("POST", format!("bridges/{}/pause", encode(name)), None)),
        CtlAction::Bridges { resume: Some(name), .. } => Ok(("POST", format!("bridges/{}/resume", encode(name)), None)),
        CtlAction::Bridges { .. } => get("bridges".into()),
        CtlAction::Webhooks => get("webhooks".into()),
        CtlAction::Sinks => get("sinks".into()),
        CtlAction::Clients { parameters } => get(format!("clients{}", query(parameters)?)),
        CtlAction::Client { id } => get(of(id, "")),
        CtlAction::Closed { parameters } => get(format!("closed-clients{}", query(parameters)?)),
        CtlAction::Kick { id: Some(id), reason, .. } => {
            Ok(("DELETE", format!("{}?reason={}", of(id, ""), encode(reason)), None))
        }
        CtlAction::Kick { filter, reason, dry_run, .. } => {
            Ok(("POST", "kick".into(), Some(object(filter, &[("reason", reason.as_str().into())], *dry_run)?)))
        }
        CtlAction::Sessions { filters, dry_run } => {
            Ok(("DELETE", "sessions".into(), Some(object(filters, &[], *dry_run)?)))
        }
        CtlAction::Subscriptions { parameters } => get(format!("subscriptions{}", query(parameters)?)),
        CtlAction::Subscribe { id, filter, qos } => {
            Ok(("PUT", of(id, "/subscriptions"), Some(json!({ "filter": filter, "qos": qos }))))
        }
        CtlAction::Unsubscribe { id, filter } => {
            Ok(("DELETE", of(id, &format!("/subscriptions?filter={}", encode(filter))), None))
        }
        CtlAction::Audit { parameters } => get(format!("audit{}", query(parameters)?)),
        CtlAction::Queue { id, remove: true } => Ok(("DELETE", of(id, "/queue"), None)),
        CtlAction::Queue { id, .. } => get(of(id, "/queue?limit=1000")),
        CtlAction::Inflight { id } => get(of(id, "/inflight?limit=1000")),
        CtlAction::Topics { parameters } => get(format!("topics{}", query(parameters)?)),
        CtlAction::Slow { parameters } => get(format!("slow{}", query(parameters)?)),
        CtlAction::Trace { action } => Ok(traces::request(action.as_ref())),
        CtlAction::Routes { topic } => get(format!("routes?limit=1000&topic={}", encode(topic))),
        CtlAction::Retained { filter, remove: true, dry_run } => {
            Ok(("DELETE", format!("retained?filter={}&dry_run={dry_run}", encode(filter)), None))
        }
        CtlAction::Retained { filter, .. } => {
            get(format!("retained?payload=true&limit=1000&filter={}", encode(filter)))
        }
        CtlAction::Pub { topic, payload, qos, retain } => {
            let message = json!({ "topic": topic, "payload": payload, "qos": qos, "retain": retain });
            Ok(("POST", "publish".into(), Some(message)))
        }
        CtlAction::Users { action } => users(action.as_ref()),
        CtlAction::Rules { action } => rules(action.as_ref()),
        CtlAction::Bans { parameters } => get(format!("bans{}", query(parameters)?)),
        CtlAction::Ban { target, lasts, reason } => {
            let mut body = json!({ "reason": reason });
            target_fields(target).for_each(|(name, value)| body[name] = value.into());
            lasts.iter().for_each(|lasts| body["for"] = lasts.as_str().into());
            Ok(("POST", "bans".into(), Some(body)))
        }
        CtlAction::Unban { target } => {
            let parameters: Vec<_> = target_fields(target).map(|(name, value)| format!("{name}={value}")).collect();
            Ok(("DELETE", format!("bans{}", query(&parameters)?), None))
        }
        CtlAction::Reload => Ok(("POST", "reload".into(), None)),
        CtlAction::Config => get("config".into()),
        // these are asked in their own way
        CtlAction::Sub { .. } | CtlAction::Events { .. } | CtlAction::Export | CtlAction::Import { .. } => {
            get("broker".into())
        }
    }
}

fn users(action: Option<&UsersAction>) -> Result<(&'static str, String, Option<Value>), CtlError> {
    let path = |name: &str| format!("users/{}", encode(name));
    match action {
        None => Ok(("GET", "users?limit=1000".into(), None)),
        Some(UsersAction::Set { name, from, scram }) => {
            let password = match from {
                Some(file) => first_line(file)?,
                None => asked_twice(name)?.into_bytes(),
            };
            let password = String::from_utf8(password).map_err(|_| CtlError::NotUtf8)?;
            let mut body = json!({ "password": password });
            scram.iter().for_each(|iterations| body["scram_iterations"] = (*iterations).into());
            Ok(("PUT", path(name), Some(body)))
        }
        Some(UsersAction::Delete { name }) => Ok(("DELETE", path(name), None)),
    }
}

fn asked_twice(name: &str) -> Result<String, CtlError> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(CtlError::Password);
    let first = ask(&format!("Password for {name}: "))?;
    match ask("The same again: ")? == first {
        true => Ok(first),
        false => Err(CtlError::Password(io::Error::other("these are two passwords"))),
    }
}

fn rules(action: Option<&RulesAction>) -> Result<(&'static str, String, Option<Value>), CtlError> {
    match action {
        None => Ok(("GET", "rules".into(), None)),
        Some(RulesAction::Set { of, access, filter }) => {
            let mut body = json!({ "access": access, "filter": filter });
            let (name, value) = rule_for(of);
            body[name] = value.into();
            Ok(("PUT", "rules".into(), Some(body)))
        }
        Some(RulesAction::Delete { of, filter }) => {
            let (name, value) = rule_for(of);
            Ok(("DELETE", format!("rules?{name}={}&filter={}", encode(value), encode(filter)), None))
        }
    }
}

fn rule_for(of: &RuleFor) -> (&'static str, &str) {
    match of {
        RuleFor { of_user: Some(name), .. } => ("user", name),
        RuleFor { anonymous: true, .. } => ("for", "anonymous"),
        _ => ("for", "everybody"),
    }
}

fn target_fields(target: &Target) -> impl Iterator<Item = (&'static str, &str)> {
    let Target { id, of_user, network } = target;
    let all = [("client_id", id), ("user", of_user), ("network", network)];
    all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
}

fn pair(parameter: &str) -> Result<(&str, &str), CtlError> {
    parameter.split_once('=').ok_or_else(|| CtlError::Parameter(parameter.to_owned()))
}

fn query(parameters: &[String]) -> Result<String, CtlError> {
    let mut query = String::new();
    for parameter in parameters {
        let (name, value) = pair(parameter)?;
        query += if query.is_empty() { "?" } else { "&" };
        query += &format!("{}={}", encode(name), encode(value));
    }
    Ok(query)
}

/// Parameters as a body, which may be longer than a URL.
fn object(parameters: &[String], more: &[(&str, Value)], dry_run: bool) -> Result<Value, CtlError> {
    let mut body = json!({ "dry_run": dry_run });
    for parameter in parameters {
        let (name, value) = pair(parameter)?;
        body[name] = value.into();
    }
    more.iter().for_each(|(name, value)| body[*name] = value.clone());
    Ok(body)
}

/// A file; `-`: standard input.
fn whole(path: &Path) -> Result<Vec<u8>, CtlError> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map_err(|error| CtlError::Read { path: path.to_owned(), error })
}

fn first_line(path: &Path) -> Result<Vec<u8>, CtlError> {
    let file = fs::File::open(path);
    let read = file.and_then(|file| FirstLine::read(io::BufReader::new(file)));
    read.map(|line| line.password).map_err(|error| CtlError::Read { path: path.to_owned(), error })
}

/// The header for the login, if there is one.
fn login(ctl: &Ctl) -> Result<Option<String>, CtlError> {
    Ok(match (&ctl.key_file, &ctl.user, &ctl.password_file) {
        (Some(file), ..) => Some(format!("Bearer {}", String::from_utf8_lossy(&first_line(file)?))),
        (None, Some(user), Some(file)) => {
            let both = [user.as_bytes(), b":", &first_line(file)?].concat();
            Some(format!("Basic {}", BASE64.encode(both)))
        }
        _ => None,
    })
}
