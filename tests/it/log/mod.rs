//! The lines of the log. Tests of the binary read the log until the expected line, so that they never sleep.

pub mod connections;
mod denials;
mod destinations;
mod protocols;
mod settings;

/// The value of a field of a text line, as it is written; `None` where there is no such field outside of quotes.
pub fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (mut rest, begins) = (line, format!(" {name}="));
    while let Some(at) = rest.find(['"', ' ']) {
        if let Some(value) = rest[at..].strip_prefix(&begins) {
            return Some(&value[..end_of_value(value)]);
        }
        // over a quoted value, or a blank
        let over = if rest[at..].starts_with('"') { end_of_value(&rest[at..]) } else { 1 };
        rest = &rest[at + over..];
    }
    None
}

/// A value without its quotes and escapes.
pub fn unquoted(value: &str) -> String {
    match value.starts_with('"') {
        true => serde_json::from_str(value).expect("a quoted value"),
        false => value.to_owned(),
    }
}

fn end_of_value(value: &str) -> usize {
    let Some(quoted) = value.strip_prefix('"') else { return value.find(' ').unwrap_or(value.len()) };
    let mut escaped = false;
    let is_end = |c: char| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    };
    quoted.find(is_end).map_or(value.len(), |at| at + 2)
}
