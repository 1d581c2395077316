//! Values outside TOML, such as those of environment variables: texts without quotation marks, read by the same forms.

use toml::de::DeValue;

use super::forms::{Form, read};

/// Reads the text by this form. The error is half a line with the allowed values.
pub(super) fn read_plain<F: Form>(form: &F, text: &str) -> Result<F::Value, String> {
    read_plain_by(text, &form.allowed(), |written| read(form, written))
}

/// The same with a function that reads the form, and the allowed values.
pub(super) fn read_plain_by<T>(
    text: &str,
    allowed: &str,
    mut read: impl FnMut(&DeValue<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let mut first = None;
    for written in meanings(text) {
        match read(&written) {
            Ok(value) => return Ok(value),
            Err(problem) => _ = first.get_or_insert(problem),
        }
    }
    let problem = first.unwrap_or_default();
    Err(if problem.contains(allowed) { problem } else { format!("{problem}; allowed: {allowed}") })
}

/// The TOML values that the text may mean, the likeliest first: a number or a truth value, other spellings of these, a
/// text.
fn meanings(text: &str) -> impl Iterator<Item = DeValue<'_>> {
    let value = DeValue::parse(text).ok().map(|value| value.into_inner());
    let value = value.filter(|value| value.is_integer() || value.is_bool());
    let switch = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" => Some(DeValue::Boolean(true)),
        "false" | "no" | "off" | "n" | "f" | "0" => Some(DeValue::Boolean(false)),
        _ => None,
    };
    value.into_iter().chain(switch).chain([DeValue::String(text.into())])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::forms::{OptionalText, OrWord, Size, Span, Switch, Whole};
    use super::*;

    #[test]
    fn a_variable_s_text_is_parsed_by_the_form_of_its_key() {
        let span = || Span { min: Duration::ZERO, max: Duration::from_secs(60) };
        let none = || OrWord { form: span(), word: "off", zero: true };
        assert_eq!(read_plain(&Whole { min: 1, max: 9999 }, "1_000"), Ok(1000));
        assert_eq!(read_plain(&Size { min: 1, max: 9999 }, "1000"), Ok(1000));
        assert_eq!(read_plain(&Size { min: 1, max: 9999 }, "2 KiB"), Ok(2048));
        assert_eq!(read_plain(&span(), "1m"), Ok(Duration::from_secs(60)));
        assert_eq!(read_plain(&span(), "0"), Ok(Duration::ZERO));
        assert_eq!((read_plain(&none(), "off"), read_plain(&none(), "0")), (Ok(None), Ok(None)));
        for (text, value) in [("true", true), ("YES", true), ("1", true), ("off", false), ("0", false)] {
            assert_eq!(read_plain(&Switch, text), Ok(value), "{text}");
            assert_eq!(read_plain(&OptionalText, text), Ok(Some(text.into())));
        }
    }

    #[test]
    fn an_error_lists_the_allowed_values() {
        let said = |result: Result<usize, String>| result.unwrap_err();
        let size = || Size { min: 128, max: 1 << 20 };
        assert_eq!(said(read_plain(&size(), "5")), "5 is out of range; allowed: 128 bytes to 1 MiB");
        let expected = "expected a number of bytes or a size such as \"64 KiB\", found the text \"much\"; \
                        allowed: 128 bytes to 1 MiB";
        assert_eq!(said(read_plain(&size(), "much")), expected);
        assert_eq!(read_plain(&Switch, "maybe").unwrap_err(), "expected true or false, found the text \"maybe\"");
    }
}
