//! [`KeySource`]: where keys are fetched.

use std::{net::IpAddr, path::Path, time::Duration};

use super::{
    super::{
        AuthError, files,
        jwks::{self, SetKey},
    },
    fetch::Fetcher,
};
use crate::{
    clock::Clock,
    types::{Contents, HttpUrl},
};

/// Where keys are fetched.
pub(in super::super) struct KeySource {
    url: HttpUrl,
    fetcher: Fetcher,
}

/// An answer with keys.
pub(super) struct Answer {
    pub(super) keys: Vec<SetKey>,
    /// How many secrets were among them.
    pub(super) secrets: usize,
    /// How long it may be used.
    pub(super) lasts: Option<Duration>,
}

impl KeySource {
    /// What has to be configured for it is there.
    pub(in super::super) fn load(
        url: &HttpUrl,
        authorities: Option<&Path>,
        warnings: &mut Vec<String>,
        contents: &mut Contents,
    ) -> Result<Self, AuthError> {
        if let Some(file) = authorities.filter(|_| url.https) {
            let bytes = files::read(file, "auth.token_ca_file")?;
            contents.add("authorities of the provider of keys (auth.token_ca_file)", &bytes);
        }
        if !url.https && !is_loopback(&url.host) {
            warnings.push(format!(
                "auth.token_jwks_url = {url}: without TLS, anybody on the way to this host can replace the keys, and then \
                 log in as any user; write https://"
            ));
        }
        let mut of_tls = Vec::new();
        let fetcher = Fetcher::load(url, authorities, &mut of_tls);
        let fetcher = fetcher.map_err(|problem| AuthError::Setting { key: "auth.token_jwks_url", problem })?;
        warnings.extend(of_tls.into_iter().map(|warning| format!("auth.token_jwks_url: {warning}")));
        Ok(Self { url: url.clone(), fetcher })
    }

    pub(in super::super) fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// The keys, or why there are none.
    pub(super) async fn fetch(&self, clock: &Clock) -> Result<Answer, String> {
        let (body, lasts) = self.fetcher.fetch(&self.url, clock).await?;
        let (keys, secrets) = jwks::of_answer(&body)?;
        Ok(Answer { keys, secrets, lasts })
    }
}

pub(in super::super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}
