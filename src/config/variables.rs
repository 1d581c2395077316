//! `${NAME}` in the texts of a configuration: the value of that environment variable, so that a secret need not be in a
//! file. `$${` is a literal `${`.

use crate::types::Secret;

/// Replaces the variables of a text; `None`: it has none. The error is half a line that says what to do; for a secret
/// it contains only names of variables.
pub(super) fn fill(text: &str, is_secret: bool) -> Result<Option<String>, String> {
    fill_around(text, is_secret, &[])
}

/// The same, but keeps the variables with these names.
pub(super) fn fill_around(text: &str, is_secret: bool, stay: &[&str]) -> Result<Option<String>, String> {
    fill_from(text, is_secret, |name| match stay.contains(&name) {
        true => Some(Ok(format!("${{{name}}}"))),
        false => std::env::var_os(name).map(|value| value.into_string()),
    })
}

/// The variables in the text.
pub(super) fn names(text: &str) -> impl Iterator<Item = String> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned())
}

type Found = Option<Result<String, std::ffi::OsString>>;

fn fill_from(text: &str, is_secret: bool, look_up: impl Fn(&str) -> Found) -> Result<Option<String>, String> {
    let (mut out, mut rest) = (String::new(), text);
    let Some(mut at) = rest.find("${") else { return Ok(None) };
    loop {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out += before;
            out += "${";
            rest = &rest[at + 2..];
        } else {
            out += &rest[..at];
            let inner = &rest[at + 2..];
            let end = inner.find('}').ok_or("\"${\" without \"}\"; write \"$${\" for a literal \"${\"")?;
            out += &value(&inner[..end], is_secret, &look_up)?;
            rest = &inner[end + 1..];
        }
        match rest.find("${") {
            Some(next) => at = next,
            None => return Ok(Some(out + rest)),
        }
    }
}

fn value(name: &str, is_secret: bool, look_up: impl Fn(&str) -> Found) -> Result<String, String> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let name: String = name.chars().take(60).collect();
        let shown = if is_secret { Secret::HIDDEN.into() } else { format!("{name:?}") };
        return Err(format!("{shown} is not a name of an environment variable"));
    }
    match look_up(name) {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(format!("the environment variable {name} is not UTF-8")),
        None => Err(format!("environment variable {name} is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_texts_are_replaced() {
        let look_up = |name: &str| match name {
            "A" => Some(Ok("${B}".into())),
            "EMPTY" => Some(Ok(String::new())),
            "BYTES" => Some(Err("x".into())),
            _ => None,
        };
        let got = |text| fill_from(text, false, look_up);
        for (text, expected) in [
            ("", None),
            ("a $A $ {A} %", None),
            ("${A}", Some("${B}")),
            ("x${A}y${EMPTY}z", Some("x${B}yz")),
            ("$${A}${A}", Some("${A}${B}")),
            ("ä$${", Some("ä${")),
        ] {
            assert_eq!(got(text), Ok(expected.map(str::to_owned)), "{text}");
        }
        for (text, said) in [
            ("${", "\"${\" without \"}\""),
            ("${}", "\"\" is not a name"),
            ("${A-B}", "\"A-B\" is not a name"),
            ("${NONE}", "environment variable NONE is not set"),
            ("${BYTES}", "the environment variable BYTES is not UTF-8"),
        ] {
            let error = got(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
        let error = fill_from("p${ass word}", true, look_up).unwrap_err();
        assert_eq!(error, "(hidden) is not a name of an environment variable");
    }
}
