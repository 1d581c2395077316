//! The optional fields of records. Each has a kind and a length, so that a reader can skip a kind that it does not
//! know.

use std::num::NonZeroU32;

use super::varint::{self, Reader, Why};
use crate::{
    codec::{Properties, PropertyId},
    router::Login,
    types::SubscriptionOptions,
};

/// The user that a session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    pub(crate) user: &'a str,
    pub(crate) login: Login,
}

/// The time of a retained message, and its publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) client: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
}

/// Appends a block of fields, which `write` appends to its argument.
pub(crate) fn put(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    varint::put_sized(out, write);
}

/// Appends a field.
pub(crate) fn put_field(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    varint::put(out, kind);
    varint::put_bytes(out, value);
}

/// Appends a field with a number.
pub(crate) fn put_number(out: &mut Vec<u8>, kind: u64, number: u64) {
    varint::put(out, kind);
    varint::put_sized(out, |out| varint::put(out, number));
}

/// Takes a block of fields off the front, and calls `each` with the kind and the value of each field.
pub(crate) fn read<'a>(
    from: &mut Reader<'a>,
    mut each: impl FnMut(u64, Reader<'a>) -> Result<(), Why>,
) -> Result<(), Why> {
    let mut fields = Reader(from.bytes()?);
    while !fields.0.is_empty() {
        let kind = fields.number()?;
        each(kind, Reader(fields.bytes()?))?;
    }
    Ok(())
}

/// The text in a field.
pub(crate) fn text<'a>(field: Reader<'a>) -> Result<&'a str, Why> {
    std::str::from_utf8(field.0).map_err(|_| "has text that is not UTF-8")
}

impl<'a> Owner<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_field(out, USER, self.user.as_bytes());
        put_field(out, LOGIN, &[login_byte(self.login)]);
    }
}

/// The fields of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionFields<'a> {
    pub(crate) owner: Option<Owner<'a>>,
    /// The Session Expiry Interval in seconds; `None`: the session does not expire.
    pub(crate) lasts: Option<u32>,
    /// The fields of its Will, if it has one.
    pub(crate) will: WillExtras<'a>,
    /// The age of the log at which the Will falls due, in milliseconds.
    pub(crate) will_due: Option<u64>,
}

impl<'a> SessionFields<'a> {
    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, Why> {
        let (mut user, mut login, mut fields) = (None, Login::PasswordFile, Self::default());
        read(from, |kind, mut field| {
            match kind {
                USER => user = Some(text(field)?),
                LOGIN => login = login_of(field.byte()?)?,
                LASTS => fields.lasts = u32::try_from(field.number()?).ok(),
                WILL_DUE => fields.will_due = Some(field.number()?),
                _ => fields.will.take(kind, field)?,
            }
            Ok(())
        })?;
        Ok(Self { owner: user.map(|user| Owner { user, login }), ..fields })
    }
}

/// The parts of an MQTT 5 Will besides topic and payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WillExtras<'a> {
    /// Properties that are forwarded, as on the wire.
    pub(crate) properties: &'a [u8],
    /// Will Delay Interval, in seconds.
    pub(crate) delay: u32,
    /// Message Expiry Interval, in seconds from its publication.
    pub(crate) expiry: Option<u32>,
}

impl<'a> WillExtras<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if !self.properties.is_empty() {
            put_field(out, PROPERTIES, self.properties);
        }
        if self.delay > 0 {
            put_number(out, WILL_DELAY, self.delay.into());
        }
        if let Some(seconds) = self.expiry {
            put_number(out, WILL_EXPIRY, seconds.into());
        }
    }

    /// Takes a field, if it is one of a Will.
    pub(crate) fn take(&mut self, kind: u64, mut field: Reader<'a>) -> Result<(), Why> {
        match kind {
            PROPERTIES => self.properties = field.0,
            // dunlin never writes a longer interval
            WILL_DELAY => self.delay = u32::try_from(field.number()?).unwrap_or(u32::MAX),
            WILL_EXPIRY => self.expiry = u32::try_from(field.number()?).ok(),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Origin<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_number(out, TIME, self.time);
        for (kind, text) in [(CLIENT, self.client), (USER, self.user)] {
            if let Some(text) = text {
                put_field(out, kind, text.as_bytes());
            }
        }
    }

    /// Reads the fields of a message: its origin, if known, and the others.
    pub(crate) fn read(from: &mut Reader<'a>) -> Result<(Option<Self>, Extras<'a>), Why> {
        let (mut time, mut client, mut user, mut extras) = (None, None, None, Extras::default());
        read(from, |kind, mut field| {
            match kind {
                TIME => time = Some(field.number()?),
                CLIENT => client = Some(text(field)?),
                USER => user = Some(text(field)?),
                _ => extras.take(kind, field)?,
            }
            Ok(())
        })?;
        Ok((time.map(|time| Self { time, client, user }), extras))
    }
}

/// The parts of an MQTT 5 message besides topic and payload, and the expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras<'a> {
    /// Properties, as on the wire.
    pub(crate) properties: &'a [u8],
    /// The age of the log at which it expires, in milliseconds.
    pub(crate) expires: Option<u64>,
}

impl<'a> Extras<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.expires.is_none()
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if !self.properties.is_empty() {
            put_field(out, PROPERTIES, self.properties);
        }
        if let Some(expires) = self.expires {
            put_number(out, EXPIRES, expires);
        }
    }

    /// Takes a field, if it is one of a message.
    pub(crate) fn take(&mut self, kind: u64, mut field: Reader<'a>) -> Result<(), Why> {
        match kind {
            PROPERTIES => self.properties = field.0,
            EXPIRES => self.expires = Some(field.number()?),
            _ => {}
        }
        Ok(())
    }
}

/// Appends the options of a subscription, except its QoS.
pub(crate) fn put_options(out: &mut Vec<u8>, options: &SubscriptionOptions) {
    let bits = u8::from(options.no_local) << 2 | u8::from(options.retain_as_published) << 3;
    put_field(out, OPTIONS, &[bits]);
    if let Some(identifier) = options.identifier {
        put_number(out, IDENTIFIER, identifier.get().into());
    }
}

/// Reads the fields of a subscription.
pub(crate) fn read_options(from: &mut Reader<'_>, options: &mut SubscriptionOptions) -> Result<(), Why> {
    read(from, |kind, mut field| {
        match kind {
            OPTIONS => {
                let bits = field.byte()?;
                (options.no_local, options.retain_as_published) = (bits & 0b100 != 0, bits & 0b1000 != 0);
            }
            IDENTIFIER => options.identifier = u32::try_from(field.number()?).ok().and_then(NonZeroU32::new),
            _ => {}
        }
        Ok(())
    })
}

/// Reads the fields of a delivery: its Subscription Identifiers, as properties on the wire.
pub(crate) fn read_identifiers<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], Why> {
    let mut identifiers: &[u8] = &[];
    read(from, |kind, field| {
        if kind == PROPERTIES {
            identifiers = field.0;
        }
        Ok(())
    })?;
    if are_identifiers(identifiers) { Ok(identifiers) } else { Err("has Subscription Identifiers that are none") }
}

/// Are these bytes properties that are all Subscription Identifiers?
pub(crate) fn are_identifiers(wire: &[u8]) -> bool {
    let others = |found: Properties<'_>| found.without(&[PropertyId::SubscriptionIdentifier]);
    Properties::of_stored(wire).is_some_and(|found| others(found).as_properties().is_empty())
}

fn login_byte(login: Login) -> u8 {
    match login {
        Login::PasswordFile => 1,
        Login::Token => 2,
        Login::Certificate => 3,
        Login::PlugIn => 4,
        Login::Http => 5,
    }
}

fn login_of(byte: u8) -> Result<Login, Why> {
    Ok(match byte {
        1 => Login::PasswordFile,
        2 => Login::Token,
        3 => Login::Certificate,
        4 => Login::PlugIn,
        5 => Login::Http,
        _ => return Err("has a way of login that is not known"),
    })
}

/// Kinds of fields. A kind has the same meaning in all records.
pub(crate) const USER: u64 = 1;
const LOGIN: u64 = 2;
const TIME: u64 = 3;
const CLIENT: u64 = 4;
pub(crate) const PROPERTIES: u64 = 5;
const EXPIRES: u64 = 6;
const OPTIONS: u64 = 7;
const IDENTIFIER: u64 = 8;
pub(crate) const LASTS: u64 = 9;
const WILL_DELAY: u64 = 10;
const WILL_EXPIRY: u64 = 11;
pub(crate) const WILL_DUE: u64 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let owner = Owner { user: "maria", login: Login::Token };
        let origin = Origin { time: 1 << 41, client: Some("c"), user: None };
        let mut bytes = Vec::new();
        for what in [&mut |out: &mut Vec<u8>| owner.put(out) as _, &mut |out: &mut Vec<u8>| origin.put(out)]
            as [&mut dyn FnMut(&mut Vec<u8>); 2]
        {
            put(&mut bytes, |out| {
                put_field(out, 77, b"of a later dunlin");
                what(out);
                put_field(out, 1 << 40, &[0; 300]);
            });
        }
        let mut reader = Reader(&bytes);
        let fields = SessionFields { owner: Some(owner), ..SessionFields::default() };
        assert_eq!(SessionFields::read(&mut reader), Ok(fields));
        assert_eq!(Origin::read(&mut reader), Ok((Some(origin), Extras::default())));
        assert!(reader.0.is_empty());
    }

    #[test]
    fn a_field_beyond_the_end_of_the_record_is_refused() {
        for bytes in [&[3, 1, 9, b'a'][..], &[1, 1], &[5, 1, 1, b'a']] {
            assert!(SessionFields::read(&mut Reader(bytes)).is_err(), "{bytes:?}");
        }
        assert_eq!(SessionFields::read(&mut Reader(&[3, 2, 1, 9])), Err("has a way of login that is not known"));
        assert_eq!(SessionFields::read(&mut Reader(&[3, 1, 1, 0xFF])), Err("has text that is not UTF-8"));
        assert_eq!(SessionFields::read(&mut Reader(&[0])), Ok(SessionFields::default()));
        assert_eq!(Origin::read(&mut Reader(&[0])), Ok((None, Extras::default())));
    }
}
