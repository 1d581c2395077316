//! Forms of values that only listeners have: lists, texts, networks, permission bits.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{
    forms::{self, Form, Misfit, quoted},
    listen::ListenAddress,
};

/// A list of values of another form.
pub(super) struct List<F>(pub F);

impl<F: Form> Form for List<F> {
    type Value = Vec<F::Value>;

    fn expected(&self) -> String {
        format!("a list, in brackets, of {}", self.0.expected())
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        let all = written.as_array().ok_or(Misfit::Kind)?.iter();
        // an error is about the one value that is wrong, not about the list
        all.map(|one| forms::read(&self.0, one.get_ref()).map_err(Misfit::Said)).collect()
    }

    fn write(&self, value: &Self::Value) -> String {
        format!("[{}]", value.iter().map(|one| self.0.write(one)).collect::<Vec<_>>().join(", "))
    }
}

/// Text of one line, with an example for messages.
pub(super) struct Text(pub &'static str);

impl Form for Text {
    type Value = String;

    fn expected(&self) -> String {
        format!("a text such as {:?}", self.0)
    }

    fn read(&self, written: &DeValue<'_>) -> Result<String, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        match text.contains(|c: char| c.is_control()) {
            true => Err(Misfit::Said(format!("{} has a control character in it; take it out", quoted(text)))),
            false => Ok(text.into()),
        }
    }

    fn write(&self, value: &String) -> String {
        toml::Value::from(value.as_str()).to_string()
    }
}

/// A list of texts; in a variable they are separated by commas.
pub(super) struct Texts(pub Text);

impl Form for Texts {
    type Value = Vec<String>;

    fn expected(&self) -> String {
        List(Text(self.0.0)).expected()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Vec<String>, Misfit> {
        texts(written)?.into_iter().map(|text| self.0.read(&DeValue::String(text.into()))).collect()
    }

    fn write(&self, value: &Vec<String>) -> String {
        List(Text(self.0.0)).write(value)
    }
}

/// The texts of a list, or of one text with commas in a variable, with or without brackets.
pub(super) fn texts<'a>(written: &'a DeValue<'_>) -> Result<Vec<&'a str>, Misfit> {
    match written.as_array() {
        Some(list) => list.iter().map(|one| one.get_ref().as_str().ok_or(Misfit::Kind)).collect(),
        None => {
            let text = written.as_str().ok_or(Misfit::Kind)?.trim();
            let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            let texts = inner.split(',').map(|text| text.trim().trim_matches('"'));
            Ok(texts.filter(|text| !text.is_empty()).collect())
        }
    }
}

/// An IP address or a network.
pub(super) struct Network;

impl Form for Network {
    type Value = IpNet;

    fn expected(&self) -> String {
        "addresses such as \"10.0.0.7\" or \"10.0.0.0/8\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<IpNet, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            Misfit::Said(format!("{} is neither an address nor a network such as \"10.0.0.0/8\"", quoted(text)))
        })
    }

    fn write(&self, value: &IpNet) -> String {
        match value.prefix_len() == value.max_prefix_len() {
            true => format!("\"{}\"", value.addr()),
            false => format!("\"{value}\""),
        }
    }
}

/// Permission bits of a file, in octal digits.
pub(super) struct Mode;

impl Form for Mode {
    type Value = u32;

    fn expected(&self) -> String {
        "permission bits in octal digits such as \"0660\"".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<u32, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        mode.filter(|mode| *mode <= 0o777).ok_or(Misfit::Kind)
    }

    fn write(&self, value: &u32) -> String {
        format!("\"{value:04o}\"")
    }
}

/// A [`ListenAddress`].
pub(super) struct Address;

impl Form for Address {
    type Value = Option<ListenAddress>;

    fn expected(&self) -> String {
        "an address and a port such as \"127.0.0.1:1883\"".into()
    }

    fn allowed(&self) -> String {
        "an IP address and a port, or \"localhost:1883\" for the loopback of IPv4 and IPv6; port 0 picks a free one, and \
         one that is left out is that of the transport; \"unix:/path\" for a Unix socket; \"systemd:NAME\" for the sockets that \
         systemd passes by that name"
            .into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        let address = written.as_str().ok_or(Misfit::Kind)?.parse();
        address.map(Some).map_err(|error: super::ListenAddressError| Misfit::Said(error.to_string()))
    }

    fn write(&self, value: &Self::Value) -> String {
        Text("").write(&value.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}
