//! Reads one value of a line as mosquitto 2.0 does.

use super::table::Form;

/// A value as read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    /// `odd`: the word is not only the number that was read.
    Number {
        value: i64,
        odd: bool,
    },
    /// The rest of the line, or its words.
    Text(String),
}

/// Reads the rest of a line, after the blank that follows the option. The error is the reason.
pub(super) fn read(form: Form, rest: &[u8]) -> Result<Value, String> {
    match form {
        Form::Bool => match word(rest)? {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            other => Err(format!("{other:?} is neither \"true\" nor \"false\", written exactly so")),
        },
        Form::Int => number(word(rest)?),
        Form::Text => {
            let text = utf8(rest)?.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
            match text.len() {
                0 => Err("it has no value".into()),
                1..=65_535 => Ok(Value::Text(text.into())),
                _ => Err("its value is longer than 65,535 bytes".into()),
            }
        }
        Form::Words => {
            word(rest)?;
            Ok(Value::Text(utf8(rest)?.trim_start_matches(' ').into()))
        }
        Form::Raw => match utf8(rest)? {
            "" => Err("it has no value".into()),
            text => Ok(Value::Text(text.into())),
        },
        Form::Anything => Ok(Value::Text(String::from_utf8_lossy(rest).into())),
    }
}

/// The leading digits; anything else is 0. mosquitto 2.1 accepts only numbers of 32 bits.
fn number(word: &str) -> Result<Value, String> {
    let text = word.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    let taken = &text[..sign + digits];
    let odd = digits == 0 || taken.len() != word.len();
    let value = if digits == 0 { Some(0) } else { taken.parse().ok() };
    value.map(|value| Value::Number { value, odd }).ok_or_else(|| format!("{word} is too large a number"))
}

/// The first word; only a blank ends a word.
fn word(rest: &[u8]) -> Result<&str, String> {
    let word = rest.split(|byte| *byte == b' ').find(|word| !word.is_empty());
    utf8(word.ok_or("it has no value")?)
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "its value is not UTF-8".into())
}
