//! Stands in the place of `fetch` in a build without HTTP: no source can be configured.

use std::{path::Path, time::Duration};

use crate::{clock::Clock, types::HttpUrl};

/// There is none.
pub(super) enum Fetcher {}

impl Fetcher {
    pub(super) fn load(_: &HttpUrl, _: Option<&Path>, _: &mut Vec<String>) -> Result<Self, String> {
        Err("this dunlin was built without HTTP (the feature `http`)".into())
    }

    pub(super) async fn fetch(&self, _: &HttpUrl, _: &Clock) -> Result<(Vec<u8>, Option<Duration>), String> {
        match *self {}
    }
}
