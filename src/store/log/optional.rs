//! The optional fields of records: each with its kind and its length, so that a reader skips those it does not know.

use super::varint::{self, Reader, Why};
use crate::router::Login;

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    pub(crate) user: &'a str,
    pub(crate) login: Login,
}

/// When a message was retained, and who published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) client: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
}

/// Appends the fields that `write` appends.
pub(crate) fn put(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    varint::put_sized(out, write);
}

/// Appends a field.
pub(crate) fn put_field(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    varint::put(out, kind);
    varint::put_bytes(out, value);
}

/// Takes all fields off the front, and gives `each` its kind and its value.
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

/// The text that a field is.
pub(crate) fn text<'a>(field: Reader<'a>) -> Result<&'a str, Why> {
    std::str::from_utf8(field.0).map_err(|_| "has text that is not UTF-8")
}

impl<'a> Owner<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_field(out, USER, self.user.as_bytes());
        put_field(out, LOGIN, &[login_byte(self.login)]);
    }

    /// Of the fields of a session; `None`: it has no owner.
    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Option<Self>, Why> {
        let (mut user, mut login) = (None, Login::PasswordFile);
        read(from, |kind, mut field| {
            match kind {
                USER => user = Some(text(field)?),
                LOGIN => login = login_of(field.byte()?)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(user.map(|user| Self { user, login }))
    }
}

impl<'a> Origin<'a> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        varint::put(out, TIME);
        varint::put_sized(out, |out| varint::put(out, self.time));
        for (kind, text) in [(CLIENT, self.client), (USER, self.user)] {
            if let Some(text) = text {
                put_field(out, kind, text.as_bytes());
            }
        }
    }

    /// Of the fields of a message; `None`: nobody knows.
    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Option<Self>, Why> {
        let (mut time, mut client, mut user) = (None, None, None);
        read(from, |kind, mut field| {
            match kind {
                TIME => time = Some(field.number()?),
                CLIENT => client = Some(text(field)?),
                USER => user = Some(text(field)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(time.map(|time| Self { time, client, user }))
    }
}

fn login_byte(login: Login) -> u8 {
    match login {
        Login::PasswordFile => 1,
        Login::Token => 2,
        Login::Certificate => 3,
        Login::PlugIn => 4,
    }
}

fn login_of(byte: u8) -> Result<Login, Why> {
    Ok(match byte {
        1 => Login::PasswordFile,
        2 => Login::Token,
        3 => Login::Certificate,
        4 => Login::PlugIn,
        _ => return Err("has a way of login that is not known"),
    })
}

/// Kinds of fields: one means the same in each record that may have it.
pub(crate) const USER: u64 = 1;
const LOGIN: u64 = 2;
const TIME: u64 = 3;
const CLIENT: u64 = 4;

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
        assert_eq!(Owner::read(&mut reader), Ok(Some(owner)));
        assert_eq!(Origin::read(&mut reader), Ok(Some(origin)));
        assert!(reader.0.is_empty());
    }

    #[test]
    fn a_field_that_goes_beyond_the_end_of_all_is_refused() {
        for bytes in [&[3, 1, 9, b'a'][..], &[1, 1], &[5, 1, 1, b'a']] {
            assert!(Owner::read(&mut Reader(bytes)).is_err(), "{bytes:?}");
        }
        assert_eq!(Owner::read(&mut Reader(&[3, 2, 1, 9])), Err("has a way of login that is not known"));
        assert_eq!(Owner::read(&mut Reader(&[3, 1, 1, 0xFF])), Err("has text that is not UTF-8"));
        assert_eq!(Owner::read(&mut Reader(&[0])), Ok(None));
        assert_eq!(Origin::read(&mut Reader(&[0])), Ok(None));
    }
}
