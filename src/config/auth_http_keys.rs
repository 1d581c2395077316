//! The keys of `[[auth.http]]`: a part of the table in `keys`.

use std::time::Duration;

use super::{
    auth_http::{
        AuthHttpConfig, AuthHttpFormat, AuthHttpMethod, GoAuthAnswers, Headers, OnServiceError, OptionalServiceUrl,
        ServiceUrl, Template,
    },
    bridge::Name,
    forms::{self, Choice, Form, OptionalPath, Whole},
    keys::{DAY, Key, MILLISECOND, Table, keys, span},
};

/// `[[auth.http]]`
pub(super) const AUTH_HTTP: Table<AuthHttpConfig> = Table {
    name: "auth.http",
    help: "A service that is asked about logins over HTTP; may be repeated. ${username}, ${clientid}, \
           ${password}, ${peerhost} and ${protocol_version} in url, headers and body are those of the login.",
    keys: keys! { AuthHttpConfig, service => service;
        name: Name, "The name of the service in the log and in metrics; it must be unique.";
        format: Choice(&[("emqx", AuthHttpFormat::Emqx), ("go-auth", AuthHttpFormat::GoAuth)]),
            "What answers look like: as EMQX's HTTP authentication or as mosquitto-go-auth's HTTP backend understands \
             them.";
        url: ServiceUrl,
            "Where the service is. Variables may be in the path and in the query; they are percent-encoded.";
        superuser_url: OptionalServiceUrl,
            "go-auth: the URL that is asked whether an accepted user is a superuser. \"\": no user is.";
        aclcheck_url: OptionalServiceUrl,
            "go-auth: the URL that is asked what a user may publish, subscribe to and receive. \"\": auth.acl_file or \
             auth.dynsec_file decides.";
        answers: Choice(&[
            ("status", GoAuthAnswers::Status),
            ("json", GoAuthAnswers::Json),
            ("text", GoAuthAnswers::Text),
        ]),
            "go-auth: how the service accepts a login: with a status 2xx, with {\"ok\": true}, or with the text ok.";
        method: Choice(&[("post", AuthHttpMethod::Post), ("get", AuthHttpMethod::Get)]), "The method of the requests.";
        headers: Headers,
            "Headers of the requests, each as \"Name: value\". ${NAME} of an environment variable is its value.";
        body: Template,
            "The body of a POST. Variables are escaped for JSON, or percent-encoded if headers has Content-Type: \
             application/x-www-form-urlencoded. \"\": username, clientid, password and peerhost.";
        timeout: span(MILLISECOND, Duration::from_secs(60)),
            "How long an answer may take. A service that takes longer counts as down.";
        max_requests: Whole { min: 1, max: 1_000 },
            "Requests at the same time (to aclcheck_url: as many again); further ones wait, and those of one address do not \
             hold up others.";
        cache_yes: span(Duration::ZERO, DAY),
            "How long an accepted login is known, so that a client that reconnects is not asked about (up to a fifth \
             less, at random). 0: each login is asked about.";
        cache_no: span(Duration::ZERO, DAY), "The same of a login that the service refuses or does not know.";
        stale_while_down: span(Duration::ZERO, DAY),
            "How much longer than cache_yes an accepted login is known while the service is down.";
        on_error: Choice(&[("refuse", OnServiceError::Refuse), ("next", OnServiceError::Next)]),
            "What happens to a login while the service is down: the client is refused as by a broker that is unavailable, \
             or the next service and the rest of auth.order decide.";
        ca_file: OptionalPath,
            "TLS: the authorities of the service's certificate, in PEM. Unset: those of this machine.";
    },
};
