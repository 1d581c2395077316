//! A password as the first line of a file or of standard input, and the validity of passwords. Passwords in MQTT are
//! bytes: a line that is not UTF-8 is a valid password.

use std::io::{self, BufRead};

use crate::types::without_mark;

/// A password, and other parts of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstLine {
    /// The line without its end and without a byte order mark.
    pub password: Vec<u8>,
    /// There was a byte order mark before the password.
    pub has_mark: bool,
    /// There was a carriage return after the password.
    pub has_carriage_return: bool,
}

impl FirstLine {
    /// Reads at most as much as the longest password needs, because the input may be endless. [`check_password`]
    /// refuses longer ones.
    pub fn read(input: impl BufRead) -> io::Result<Self> {
        const MARK_AND_LINE_END: usize = 3 + 2;
        let mut line = Vec::new();
        input.take((MAX_PASSWORD + MARK_AND_LINE_END) as u64).read_until(b'\n', &mut line)?;
        let text = without_mark(&line);
        let has_mark = text.len() < line.len();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let password = text.strip_suffix(b"\r").unwrap_or(text);
        Ok(Self { password: password.into(), has_mark, has_carriage_return: password.len() < text.len() })
    }
}

/// Why a password is not allowed, as the end of a sentence.
pub fn check_password(password: &[u8]) -> Result<(), &'static str> {
    match password {
        [] => Err("is empty"),
        _ if password.len() > MAX_PASSWORD => Err("is longer than the 65,535 bytes that MQTT has for a password"),
        _ if password.contains(&0) => Err("has a NUL in it, as UTF-16 has; write the password as UTF-8"),
        _ if password.contains(&b'\r') => Err("has a carriage return before its end; end the line with a line feed"),
        _ => Ok(()),
    }
}

/// Why a user name or password is not allowed for SCRAM, as the end of a sentence. Clients prepare both by SASLprep
/// (RFC 4013), depending on their version of Unicode: only text that this does not change is safe.
pub fn check_scram(text: &[u8]) -> Result<(), &'static str> {
    match text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        true => Ok(()),
        false => Err(
            "has more in it than letters, digits and signs of ASCII, which clients would not all prove alike by SCRAM",
        ),
    }
}

/// In bytes [MQTT-3.1.3-12].
const MAX_PASSWORD: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_end_and_mark() {
        for (text, password, has_mark, has_carriage_return) in [
            (&b"pass word"[..], &b"pass word"[..], false, false),
            (b"a\nb\n", b"a", false, false),
            (b"a\r\nb", b"a", false, true),
            (b"\xEF\xBB\xBFa\n", b"a", true, false),
            (b"\xFF\xFE\n", b"\xFF\xFE", false, false),
            (b"\n", b"", false, false),
        ] {
            let expected = FirstLine { password: password.into(), has_mark, has_carriage_return };
            assert_eq!(FirstLine::read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_password_that_no_client_can_send_is_refused_at_any_length() {
        let longest = [b"\xEF\xBB\xBF", &[b'x'; MAX_PASSWORD][..], b"\r\nmore"].concat();
        let line = FirstLine::read(&*longest).unwrap();
        assert_eq!((line.password.len(), check_password(&line.password)), (MAX_PASSWORD, Ok(())));
        let endless = FirstLine::read(io::BufReader::new(io::repeat(b'x'))).unwrap();
        assert!(endless.password.len() > MAX_PASSWORD);
        for (password, said) in [
            (&endless.password[..], "is longer than the 65,535 bytes"),
            (&[b'x'; MAX_PASSWORD + 1], "is longer than the 65,535 bytes"),
            (b"", "is empty"),
            (b"a\0", "has a NUL in it"),
            (b"a\rb", "has a carriage return before its end"),
        ] {
            assert!(check_password(password).unwrap_err().starts_with(said), "{said}");
        }
        assert_eq!(check_password(b"\xFF"), Ok(()));
    }
}
