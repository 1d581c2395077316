//! The texts of the web console are in one file, `src/admin/console/texts.js`: no other file shows words of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::assert_none;

#[test]
fn the_words_of_the_console_are_in_one_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/console");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 25, "{files:?}");
    let found = files.iter().flat_map(|file| {
        let text = fs::read_to_string(file).unwrap();
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        words(&text).into_iter().map(move |(line, words)| format!("{name}:{line}: {words:?} belongs to texts.js"))
    });
    assert_none(found);
}

/// The modules that are written here, but for the texts.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("vendor") => {}
            true => collect(&path, files),
            false if path.ends_with("texts.js") || path.extension().is_none_or(|kind| kind != "js") => {}
            false => files.push(path),
        }
    }
}

/// What a module shows that is written in it, with the line: text between tags, names in attributes, and strings of
/// three words and more.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut scan = Scan { text: text.as_bytes(), at: 0, found: Vec::new() };
    scan.code();
    assert_eq!(
        scan.at,
        text.len(),
        "a module that is not understood: {:?}",
        &text[scan.at.saturating_sub(80)..scan.at]
    );
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    scan.found.into_iter().map(|(at, words)| (line(at), words)).collect()
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    found: Vec<(usize, String)>,
}

/// Attributes whose value is read by people.
const SHOWN: [&str; 6] = ["label", "title", "placeholder", "alt", "legend", "data-name"];

impl Scan<'_> {
    fn here(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    fn begins(&self, with: &str) -> bool {
        self.text[self.at..].starts_with(with.as_bytes())
    }

    /// Code, up to the brace that closes it, or to the end.
    fn code(&mut self) {
        let (mut depth, mut before) = (0_usize, b'(');
        while self.at < self.text.len() {
            let here = self.here();
            match here {
                b'/' if self.begins("//") => self.until("\n"),
                b'/' if self.begins("/*") => self.until("*/"),
                b'"' | b'\'' => self.string(here),
                b'`' => self.template(),
                b'/' if b"(,=:[!&|?{};>".contains(&before) || self.follows("return") => self.regex(),
                b'}' if depth == 0 => return,
                _ => {
                    depth = depth + usize::from(here == b'{') - usize::from(here == b'}');
                    self.at += 1;
                }
            }
            if !here.is_ascii_whitespace() {
                before = here;
            }
        }
    }

    fn follows(&self, word: &str) -> bool {
        self.text[..self.at].trim_ascii_end().ends_with(word.as_bytes())
    }

    /// Goes behind the next such text.
    fn until(&mut self, end: &str) {
        let rest = &self.text[self.at..];
        let length = rest.windows(end.len()).position(|part| part == end.as_bytes());
        self.at += length.map_or(rest.len(), |length| length + end.len());
    }

    fn string(&mut self, quote: u8) {
        let from = self.at + 1;
        self.at = from;
        while self.at < self.text.len() && self.here() != quote {
            self.at += 1 + usize::from(self.here() == b'\\');
        }
        self.note(from, lossy(&self.text[from..self.at]), is_sentence);
        self.at += 1;
    }

    fn regex(&mut self) {
        let mut within_class = false;
        self.at += 1;
        while self.at < self.text.len() && (within_class || self.here() != b'/') {
            match self.here() {
                b'\\' => self.at += 1,
                b'[' => within_class = true,
                b']' => within_class = false,
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
    }

    /// A template: of markup if it is tagged so, otherwise a string.
    fn template(&mut self) {
        let is_markup = self.text[..self.at].ends_with(b"html");
        let (mut shown, mut tag, mut quoted) = (Vec::new(), None::<Vec<u8>>, false);
        self.at += 1;
        while self.at < self.text.len() && self.here() != b'`' {
            let here = self.here();
            if self.begins("${") {
                self.at += 2;
                self.code();
                if tag.is_none() {
                    shown.extend("…".bytes());
                }
            } else if let (true, Some(open)) = (is_markup, &mut tag) {
                quoted ^= here == b'"';
                match here {
                    b'>' if !quoted => {
                        let names = attributes(&String::from_utf8_lossy(open));
                        names.into_iter().for_each(|name| self.note(self.at, name, is_no_example));
                        tag = None;
                    }
                    _ => open.push(here),
                }
            } else if is_markup && here == b'<' {
                self.note(self.at, lossy(&std::mem::take(&mut shown)), has_word);
                tag = Some(Vec::new());
            } else {
                shown.push(here);
            }
            self.at += 1;
        }
        self.note(self.at, lossy(&shown), if is_markup { has_word } else { is_sentence });
        self.at += 1;
    }

    fn note(&mut self, at: usize, words: String, is_shown: fn(&str) -> bool) {
        if is_shown(&words) {
            self.found.push((at.min(self.text.len()), words));
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The values of the attributes of a tag that people read.
fn attributes(tag: &str) -> Vec<String> {
    let mut parts = tag.split('"');
    let mut found = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if SHOWN.iter().any(|shown| name.ends_with(&format!("{shown}="))) {
            found.push(value.to_owned());
        }
    }
    found
}

/// The value of an attribute: one such as `a/b` or `name-1` is an example, which is no word.
fn is_no_example(text: &str) -> bool {
    has_word(text) && (text.contains(' ') || !text.contains(['/', '-']))
}

/// Text between tags: two letters are a word. An entity is none.
fn has_word(text: &str) -> bool {
    let mut rest = text.to_owned();
    while let Some(from) = rest.find('&')
        && let Some(length) = rest[from..].find(';')
    {
        rest.replace_range(from..=from + length, "");
    }
    rest.as_bytes().windows(2).any(|two| two.iter().all(u8::is_ascii_alphabetic))
}

/// A string in the code: it begins with three words, of which one may be a value.
fn is_sentence(text: &str) -> bool {
    let words: Vec<_> = text.split(' ').take(3).map(|word| word.trim_end_matches([',', '.', ':', '!', '?'])).collect();
    let is_word = |word: &&&str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphabetic());
    let (real, values) = (words.iter().filter(is_word).count(), words.iter().filter(|word| **word == "…").count());
    real + values == 3 && real >= 2
}

#[test]
fn words_are_found_between_tags_in_attributes_and_in_strings() {
    let all = |text: &str| words(text).into_iter().map(|(line, words)| format!("{line} {words}")).collect::<Vec<_>>();
    let none: [&str; 6] = [
        "html`<p class=\"soft cut\">${t.a} · ${n} &nbsp;</p>`",
        "const a = { b: \"is-soft wide\", c: 'Enter' }; // it is not so",
        "x.replace(/it is \"so/g, `${a}px`); return /a b c \"/;",
        "html`<${Text} aria-label=${t.x} d=\"M0 it is so\"/>`",
        "`${a} of ${b}`; html`<input placeholder=\"home/lamp\" />`",
        "/* it is \"so */",
    ];
    none.into_iter().for_each(|text| assert_eq!(all(text), [""; 0], "{text}"));
    assert_eq!(all("let a;\nhtml`<p>${n > 0 && html`<b>${n} dup</b>`}</p>`"), ["2 … dup"]);
    assert_eq!(all("html`<input title=\"Find it\" class=\"a b\" />`"), ["1 Find it"]);
    assert_eq!(
        all("fail(\"It ends too early.\"); fail(`${name} is not there`)"),
        ["1 It ends too early.", "1 … is not there"]
    );
}
