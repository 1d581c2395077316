//! Replaces `call` in a build without HTTP, where no service can be configured.

use super::ServiceSettings;
use crate::{clock::Clock, types::HttpUrl};

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Its media type, for the log.
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
    pub(super) is_whole: bool,
}

/// Has no values.
pub(super) enum Caller {}

/// Has no settings.
pub(super) type Tls = ();

pub(super) fn load(_: &ServiceSettings, _: &HttpUrl, _: &mut Vec<String>) -> Result<Tls, String> {
    Err("this dunlin was built without HTTP (the feature `http`)".into())
}

impl Caller {
    pub(super) fn new(_: &ServiceSettings, _: &HttpUrl, (): &Tls, _: &Clock) -> Self {
        unreachable!("no service was loaded")
    }

    pub(super) async fn call(&self, _: &Call) -> Result<Reply, String> {
        match *self {}
    }
}
