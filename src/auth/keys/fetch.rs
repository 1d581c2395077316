//! [`Fetcher`]: sends the request for keys, and reads how long its answer may be used (RFC 9111).

use std::{path::Path, sync::OnceLock, time::Duration};

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT, AGE, CACHE_CONTROL, HeaderValue},
};

use crate::{
    clock::Clock,
    outbound::{ClientTls, HttpBounds, HttpClient, HttpRequest, TlsOptions},
    types::HttpUrl,
};

/// Sends the request.
pub(super) struct Fetcher {
    tls: Option<ClientTls>,
    /// Made by the first request.
    client: OnceLock<HttpClient>,
}

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer, at most.
const LONGEST: usize = 256 << 10;

impl Fetcher {
    /// Reads the files of TLS; the error says what is wrong with them.
    pub(super) fn load(url: &HttpUrl, authorities: Option<&Path>, warnings: &mut Vec<String>) -> Result<Self, String> {
        let options = TlsOptions { authorities: authorities.map(Into::into), ..TlsOptions::default() };
        let tls = if url.https { Some(tls(&options, warnings)?) } else { None };
        Ok(Self { tls, client: OnceLock::new() })
    }

    /// The answer, and how long it may be used if it says so. The error says why there is none.
    pub(super) async fn fetch(&self, url: &HttpUrl, clock: &Clock) -> Result<(Vec<u8>, Option<Duration>), String> {
        let bounds = HttpBounds { within: WITHIN, body: LONGEST };
        let new = || HttpClient::new(url.clone(), self.tls.clone(), clock.clone(), bounds);
        let client = self.client.get_or_init(new);
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(KINDS))]);
        let request = HttpRequest { method: Method::GET, path: None, headers, body: Default::default() };
        let answer = client.send(&request).await.map_err(|error| error.to_string())?;
        match answer.status {
            StatusCode::OK if answer.is_whole => Ok((answer.body.into(), lasts(&answer.headers))),
            StatusCode::OK => Err("its answer is too long".into()),
            status => Err(format!("it answered with the status {}", status.as_u16())),
        }
    }
}

const KINDS: &str = "application/jwk-set+json, application/json";

#[cfg(feature = "tls")]
fn tls(options: &TlsOptions, warnings: &mut Vec<String>) -> Result<ClientTls, String> {
    let (tls, found) = ClientTls::load(options, true).map_err(|error| error.to_string())?;
    warnings.extend(found);
    Ok(tls)
}

#[cfg(not(feature = "tls"))]
fn tls(_: &TlsOptions, _: &mut Vec<String>) -> Result<ClientTls, String> {
    Err("this dunlin was built without TLS (the feature `tls`)".into())
}

/// How long an answer may still be used.
fn lasts(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(',')).map(|one| one.trim().to_ascii_lowercase());
    let lasts = directives.find_map(|one| match one.split_once('=') {
        Some(("max-age", seconds)) => seconds.trim_matches('"').parse().ok(),
        None if matches!(&*one, "no-store" | "no-cache") => Some(0),
        _ => None,
    })?;
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| age.parse().ok()).unwrap_or(0);
    Some(Duration::from_secs(u64::saturating_sub(lasts, age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_may_be_used() {
        for (control, age, expected) in [
            (&[][..], None, None),
            (&["public"], None, None),
            (&["max-age=60"], None, Some(60)),
            (&["public", "s-maxage=7, Max-Age=\"60\", must-revalidate"], Some("20"), Some(40)),
            (&["max-age=60"], Some("80"), Some(0)),
            (&["no-store"], None, Some(0)),
            (&["max-age=soon"], Some("x"), None),
            (&["max-age=99999999999999999999"], None, None),
        ] {
            let mut headers = HeaderMap::new();
            control.iter().for_each(|&value| _ = headers.append(CACHE_CONTROL, HeaderValue::from_static(value)));
            if let Some(age) = age {
                headers.insert(AGE, HeaderValue::from_static(age));
            }
            assert_eq!(lasts(&headers), expected.map(Duration::from_secs), "{control:?} {age:?}");
        }
    }
}
