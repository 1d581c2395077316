//! The forms of URLs.

use toml::de::DeValue;

use super::{
    forms::{Form, Misfit},
    lists::Text,
};
use crate::types::HttpUrl;

/// An [`HttpUrl`]; none is the empty text.
pub(super) struct Url;

impl Form for Url {
    type Value = Option<HttpUrl>;

    fn expected(&self) -> String {
        "a URL such as \"https://example.org/hook\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        match written.as_str().ok_or(Misfit::Kind)? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(Misfit::Said),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        Text("").write(&value.as_ref().map(HttpUrl::to_string).unwrap_or_default())
    }
}

/// The same, where none is a choice, with an example of one.
pub(super) struct OptionalUrl(pub &'static str);

impl Form for OptionalUrl {
    type Value = Option<HttpUrl>;

    fn expected(&self) -> String {
        format!("a URL such as \"{}\", or \"\" for none", self.0)
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        Url.read(written)
    }

    fn write(&self, value: &Self::Value) -> String {
        Url.write(value)
    }
}
