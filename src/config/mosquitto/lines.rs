//! Reads the lines of a file and of its includes as mosquitto does: [`Found`].

use std::{
    cmp::Ordering,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    super::likeness::{closest, nearest},
    table::{self, ROWS, Row},
    told::{Outcome, Place, Told, of_working_directory},
    values::{self, Value},
};

/// A line with a known option and a valid value.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub place: Place,
    /// The number of the file: sections end with their file.
    pub file: usize,
    pub row: &'static Row,
    /// The part of the option's name in place of `*`.
    pub suffix: String,
    pub value: Value,
}

impl Found {
    /// The option as written.
    pub fn name(&self) -> String {
        format!("{}{}", self.row.name.trim_end_matches('*'), self.suffix)
    }

    /// The value of an option that is `true` or `false`.
    pub fn is(&self) -> bool {
        self.value == Value::Bool(true)
    }

    /// The value of an option that is a number.
    pub fn number(&self) -> i64 {
        if let Value::Number { value, .. } = self.value { value } else { 0 }
    }

    /// The value of any other option.
    pub fn text(&self) -> &str {
        if let Value::Text(text) = &self.value { text } else { "" }
    }

    /// Its first word.
    pub fn word(&self) -> &str {
        self.text().split(' ').next().unwrap_or_default()
    }

    /// The report's entry for this line.
    pub fn told(&self, outcome: Outcome, what: impl Into<String>) -> Told {
        Told { place: self.place.clone(), option: self.name(), outcome, what: what.into() }
    }
}

/// Reads `path` and its includes, in mosquitto's order. Also returns the errors.
pub(super) fn read(path: &Path) -> (Vec<Found>, Vec<Told>) {
    let mut reader = Reader::default();
    reader.file(path, None);
    (reader.found, reader.wrong)
}

#[derive(Default)]
struct Reader {
    found: Vec<Found>,
    wrong: Vec<Told>,
    files: usize,
}

impl Reader {
    /// `included`: the line with its `include_dir`.
    fn file(&mut self, path: &Path, included: Option<&Found>) {
        let (name, number) = (Rc::<str>::from(path.display().to_string()), self.files);
        self.files += 1;
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let place = included.map_or(Place { file: name.clone(), line: 0 }, |found| found.place.clone());
                let what = format!("cannot read {name}: {error}");
                let option = included.map_or_else(|| "mosquitto.conf".into(), Found::name);
                return self.wrong.push(Told { place, option, outcome: Outcome::Refused, what });
            }
        };
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let place = Place { file: name.clone(), line };
            let found = match self.line(bytes, place, number) {
                Some(found) if found.row.name == "include_dir" => found,
                Some(found) => {
                    self.found.push(found);
                    continue;
                }
                None => continue,
            };
            if included.is_some() {
                let what = "not in a file that is itself included: mosquitto 2.0 ignores the line";
                self.wrong.push(found.told(Outcome::Lost, what));
            } else {
                self.directory(&found);
                self.wrong.push(found.told(Outcome::Same, "its files are read here, in mosquitto's order"));
            }
        }
    }

    fn line(&mut self, bytes: &[u8], place: Place, file: usize) -> Option<Found> {
        let end = bytes.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        let bytes = &bytes[..end];
        let start = bytes.iter().position(|byte| *byte != b' ').filter(|_| bytes[0] != b'#')?;
        let (word, rest) = match bytes[start..].iter().position(|byte| *byte == b' ') {
            Some(length) => (&bytes[start..start + length], &bytes[start + length + 1..]),
            None => (&bytes[start..], &[][..]),
        };
        let word = String::from_utf8_lossy(word);
        let refuse = |what| Told { place: place.clone(), option: word.to_string(), outcome: Outcome::Refused, what };
        let Some(row) = table::row(&word) else {
            self.wrong.push(refuse(unknown(&word)));
            return None;
        };
        match values::read(row.form, rest) {
            Ok(value) => {
                let suffix = word[row.name.trim_end_matches('*').len()..].to_owned();
                Some(Found { place, file, row, suffix, value })
            }
            Err(what) => {
                self.wrong.push(refuse(what));
                None
            }
        }
    }

    fn directory(&mut self, found: &Found) {
        let entries = match fs::read_dir(found.text()) {
            Ok(entries) => entries,
            Err(error) => {
                let of = of_working_directory(Path::new(found.text()));
                let what = format!("cannot read the directory {:?}{of}: {error}", found.text());
                return self.wrong.push(found.told(Outcome::Refused, what));
            }
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let name = |path: &Path| path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default().to_vec();
        files.retain(|path| name(path).len() > b".conf".len() && name(path).ends_with(b".conf"));
        crate::types::sort_by(&mut files, |a, b| in_mosquittos_order(&name(a), &name(b)));
        files.iter().for_each(|file| self.file(file, Some(found)));
    }
}

/// The first byte that differs decides: by its letter; if only the case differs, upper case is first.
pub(super) fn in_mosquittos_order(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()).then(a.cmp(b)),
        None => a.len().cmp(&b.len()),
    }
}

fn unknown(word: &str) -> String {
    let shown = if word.starts_with('\u{feff}') { " (a byte order mark stands before it)" } else { "" };
    let of_tab = if word.contains('\t') { "; a blank ends the name of an option, a tab does not" } else { "" };
    let word = word.trim_start_matches('\u{feff}');
    let names = || ROWS.iter().map(|row| row.name).filter(|name| !name.ends_with('*'));
    // one of a bridge is like those of a bridge, whatever follows
    let like =
        |start: &'static str| word.starts_with(start).then(|| closest(word, names().filter(|n| n.starts_with(start))));
    let near = match nearest(word, names()) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if word.starts_with('#') => "; a comment begins in the first column".into(),
        None => match like("bridge_").unwrap_or_else(|| closest(word, names())) {
            Some(near) => format!("; the one most like it is {near:?}"),
            None => String::new(),
        },
    };
    format!("mosquitto has no such option{shown}{of_tab}{near}")
}
