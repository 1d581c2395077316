//! [`Problem`]: a refused request (RFC 9457), with a stable code.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::types::Role;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Code for programs.
    code: &'static str,
    /// Text for people.
    detail: String,
    /// Version of a file that another writer changed.
    version: Option<String>,
    /// Extension members (RFC 9457, section 3.2).
    more: Vec<(&'static str, serde_json::Value)>,
}

impl Problem {
    /// The text for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), version: None, more: Vec::new() }
    }

    /// The request needs another role. `caller`: its role, and its name if it logged in.
    pub(super) fn role(least: Role, caller: Option<(Role, Option<&str>)>) -> Self {
        let may: Vec<_> = Role::ALL.into_iter().filter(|role| *role >= least).map(Role::name).collect();
        let (least, may) = (least.name(), may.join(" or "));
        let detail = match caller {
            Some((role, None)) => format!(
                "this needs the role {may}; programs on this machine have the role {}. Ask through a Unix socket \
                 (listen = \"unix:PATH\" below [http]), or log in with a key (dunlin key add NAME --role {least}, with \
                 keys_file below [http])",
                role.name()
            ),
            Some((role, Some(name))) => format!(
                "this needs the role {may}, and {name} has the role {}: an admin gives users another one below [http] \
                 (users = [\"NAME:{least}\"]), and programs another key (dunlin key add NAME --role {least})",
                role.name()
            ),
            None => format!("this needs the role {may}"),
        };
        Self::new(StatusCode::FORBIDDEN, "role", detail)
    }

    /// Adds the version of a file.
    pub fn with_version(self, version: String) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Adds words in front.
    pub fn prefixed(self, words: &str) -> Self {
        Self { detail: format!("{words}{}", self.detail), ..self }
    }

    /// Adds a member for programs.
    pub fn with(mut self, name: &'static str, value: serde_json::Value) -> Self {
        self.more.push((name, value));
        self
    }

    #[cfg(test)]
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, version, more } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let mut body = serde_json::json!({
            "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code
        });
        more.into_iter().for_each(|(name, value)| body[name] = value);
        if let Some(version) = &version {
            body["version"] = version.as_str().into();
        }
        let kind = (header::CONTENT_TYPE, "application/problem+json");
        let mut response = (status, [kind], body.to_string() + "\n").into_response();
        if let Some(tag) = version.and_then(|version| header::HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        if status == StatusCode::UNAUTHORIZED {
            let basic = header::HeaderValue::from_static("Basic realm=\"dunlin\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}
