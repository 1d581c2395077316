//! Recognises configurations of other programs, so that the error names the program instead of a fault in the TOML.

/// The format of a text that is not TOML, if it is recognised, and what to do.
pub(super) fn recognised(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}');
    let is_comment = |line: &&str| line.is_empty() || line.starts_with('#');
    let first = text.lines().map(str::trim).find(|line| !is_comment(line))?;
    if first.starts_with('{') {
        return Some("this is JSON; the configuration is TOML: \"dunlin --print-config\" prints one to begin with");
    }
    if first.contains('=') || first.starts_with('[') {
        return None;
    }
    if first == "---" || first.starts_with("- ") || first.ends_with(':') || first.contains(": ") {
        return Some("this is YAML; the configuration is TOML: \"dunlin --print-config\" prints one to begin with");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_in_other_formats_are_recognised() {
        for (text, expected) in [
            ("{\n \"listener\": 1883\n}", Some("this is JSON;")),
            ("---\nlisteners:", Some("this is YAML;")),
            ("allow_anonymous: true\n", Some("this is YAML;")),
            ("listeners:\n  - address: ':1883'", Some("this is YAML;")),
            ("allow_anonymous = 'a: b", None),
            ("[[listener\n", None),
            ("workers 3", None),
            ("", None),
        ] {
            let found = recognised(text);
            assert_eq!(found.is_some(), expected.is_some(), "{text}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{text}: {found:?}");
        }
    }
}
