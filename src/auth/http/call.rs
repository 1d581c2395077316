//! [`Caller`]: sends requests to one service.

use hyper::{
    HeaderMap, Method,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::ServiceSettings;
use crate::{
    clock::Clock,
    outbound::{ClientTls, HttpBounds, HttpClient, HttpRequest, TlsOptions},
    types::HttpUrl,
};

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// A service's answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Its media type, for the log.
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
    pub(super) is_whole: bool,
}

/// Sends requests.
pub(super) struct Caller {
    client: HttpClient,
    method: Method,
}

/// TLS settings for the service.
pub(super) type Tls = Option<ClientTls>;

/// Largest answer in bytes.
const LONGEST: usize = 256 << 10;

/// Reads the TLS files.
pub(super) fn load(settings: &ServiceSettings, url: &HttpUrl, warnings: &mut Vec<String>) -> Result<Tls, String> {
    if !url.https {
        return Ok(None);
    }
    let options = TlsOptions { authorities: settings.authorities.clone(), ..TlsOptions::default() };
    let (tls, found) = tls(&options)?;
    warnings.extend(found);
    Ok(Some(tls))
}

#[cfg(feature = "tls")]
fn tls(options: &TlsOptions) -> Result<(ClientTls, Vec<String>), String> {
    ClientTls::load(options, true).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn tls(_: &TlsOptions) -> Result<(ClientTls, Vec<String>), String> {
    Err("this dunlin was built without TLS (the feature `tls`)".into())
}

impl Caller {
    pub(super) fn new(settings: &ServiceSettings, url: &HttpUrl, tls: &Tls, clock: &Clock) -> Self {
        let bounds = HttpBounds { within: settings.timeout, body: LONGEST };
        let client = HttpClient::new(url.clone(), tls.clone(), clock.clone(), bounds);
        Self { client, method: if settings.get { Method::GET } else { Method::POST } }
    }

    /// Sends a request and returns the answer.
    pub(super) async fn call(&self, call: &Call) -> Result<Reply, String> {
        let mut headers = HeaderMap::new();
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &call.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
        }
        let body = call.body.clone().into();
        let request = HttpRequest { method: self.method.clone(), path: Some(call.path.clone()), headers, body };
        let answer = self.client.send(&request).await.map_err(|error| error.to_string())?;
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no Content-Type");
        Ok(Reply {
            status: answer.status.as_u16(),
            kind: kind.into(),
            body: answer.body.into(),
            is_whole: answer.is_whole,
        })
    }
}
