//! How one value is written: a [`Form`] reads it from TOML, writes it back, and describes the allowed values. `keys`
//! assigns a form to each key.

use std::{
    fmt::Display,
    hash::{BuildHasher, Hash, RandomState},
    path::PathBuf,
    sync::LazyLock,
    time::Duration,
};

use bytesize::ByteSize;
use toml::de::DeValue;

use super::likeness::nearest;
use crate::types::{Frequency, Secret};

/// How values of one type are written.
pub(super) trait Form {
    /// Type of the value.
    type Value;

    /// Is the value never shown?
    const SECRET: bool = false;

    /// Is the value a path?
    const PATH: bool = false;

    /// May the value contain variables of a login, such as `${username}`?
    const TEMPLATE: bool = false;

    /// What is expected, as the end of "expected …".
    fn expected(&self) -> String;

    /// What is allowed, as the end of "allowed: …".
    fn allowed(&self) -> String {
        self.expected()
    }

    /// A word that may be meant by `written`, which is none of the known ones.
    fn near(&self, _written: &str) -> Option<&'static str> {
        None
    }

    /// Reads a value.
    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit>;

    /// The value as TOML; [`read`](Form::read) accepts it.
    fn write(&self, value: &Self::Value) -> String;
}

/// Why a value is invalid.
pub(super) enum Misfit {
    /// It is of another type.
    Kind,
    /// It is out of range; contains the value.
    Range(String),
    /// Another reason.
    Said(String),
}

/// Reads a value. The error is half a line with the expected or allowed values.
pub(super) fn read<F: Form>(form: &F, written: &DeValue<'_>) -> Result<F::Value, String> {
    form.read(written).map_err(|misfit| match misfit {
        Misfit::Kind => match near(form, written) {
            Some((word, near)) => format!("{} is not a known word; did you mean {near:?}?", quoted(word)),
            None => format!("expected {}, found {}", form.expected(), describe(written, F::SECRET)),
        },
        Misfit::Range(value) => format!("{value} is out of range; allowed: {}", form.allowed()),
        Misfit::Said(problem) => problem,
    })
}

fn near<'a, F: Form>(form: &F, written: &'a DeValue<'_>) -> Option<(&'a str, &'static str)> {
    let word = written.as_str()?;
    form.near(word).map(|near| (word, near))
}

/// Are values of this form never shown?
pub(super) fn is_secret<F: Form>(_: &F) -> bool {
    F::SECRET
}

/// Are values of this form paths?
pub(super) fn is_path<F: Form>(_: &F) -> bool {
    F::PATH
}

/// May values of this form contain variables of a login?
pub(super) fn is_template<F: Form>(_: &F) -> bool {
    F::TEMPLATE
}

/// `true` or `false`.
pub(super) struct Switch;

impl Form for Switch {
    type Value = bool;

    fn expected(&self) -> String {
        "true or false".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<bool, Misfit> {
        written.as_bool().ok_or(Misfit::Kind)
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number from `min` to `max`.
pub(super) struct Whole<T> {
    /// The smallest allowed value.
    pub min: T,
    /// The largest allowed value.
    pub max: T,
}

impl<T: Copy + Display + PartialOrd + TryFrom<i128>> Whole<T> {
    /// Checks a number.
    pub fn check(&self, number: i128) -> Result<T, Misfit> {
        let fits = T::try_from(number).ok().filter(|n| (self.min..=self.max).contains(n));
        fits.ok_or_else(|| Misfit::Range(number.to_string()))
    }
}

impl<T: Copy + Display + PartialOrd + TryFrom<i128>> Form for Whole<T> {
    type Value = T;

    fn expected(&self) -> String {
        "a whole number".into()
    }

    fn allowed(&self) -> String {
        format!("{} to {}", self.min, self.max)
    }

    fn read(&self, written: &DeValue<'_>) -> Result<T, Misfit> {
        self.check(integer(written)?)
    }

    fn write(&self, value: &T) -> String {
        value.to_string()
    }
}

/// A number of bytes: a whole number, or text with a unit.
pub(super) struct Size {
    /// The smallest allowed value.
    pub min: usize,
    /// The largest allowed value.
    pub max: usize,
}

impl Form for Size {
    type Value = usize;

    fn expected(&self) -> String {
        "a number of bytes or a size such as \"64 KiB\"".into()
    }

    fn allowed(&self) -> String {
        let [min, max] = [self.min, self.max].map(text_of_size);
        let unit = match (&max, self.min) {
            (None, _) => "",
            (Some(_), 1) => " byte",
            (Some(_), _) => " bytes",
        };
        let min = min.unwrap_or_else(|| format!("{}{unit}", self.min));
        format!("{min} to {}", max.unwrap_or_else(|| format!("{} bytes", self.max)))
    }

    fn read(&self, written: &DeValue<'_>) -> Result<usize, Misfit> {
        let Some(text) = written.as_str() else {
            return Whole { min: self.min, max: self.max }.read(written);
        };
        let ByteSize(bytes) = text.trim().parse().map_err(|_| Misfit::Kind)?;
        let fits = usize::try_from(bytes).ok().filter(|n| (self.min..=self.max).contains(n));
        fits.ok_or_else(|| Misfit::Range(quoted(text)))
    }

    fn write(&self, value: &usize) -> String {
        text_of_size(*value).map_or_else(|| value.to_string(), |text| format!("\"{text}\""))
    }
}

/// A duration with a unit; 0 needs none.
pub(super) struct Span {
    /// The shortest allowed value.
    pub min: Duration,
    /// The longest allowed value.
    pub max: Duration,
}

impl Form for Span {
    type Value = Duration;

    fn expected(&self) -> String {
        "a duration such as \"500ms\", \"10s\" or \"1d\"".into()
    }

    fn allowed(&self) -> String {
        let [min, max] = [self.min, self.max].map(humantime::format_duration);
        format!("\"{min}\" to \"{max}\"")
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Duration, Misfit> {
        let span = match written.as_str() {
            Some(text) => humantime::parse_duration(text).map_err(|_| Misfit::Kind)?,
            None if integer(written)? == 0 => Duration::ZERO,
            None => return Err(Misfit::Kind),
        };
        let fits = (self.min..=self.max).contains(&span);
        fits.then_some(span).ok_or_else(|| Misfit::Range(written.as_str().map_or("0".into(), quoted)))
    }

    fn write(&self, value: &Duration) -> String {
        format!("\"{}\"", humantime::format_duration(*value))
    }
}

/// One of a few words in any case. Aliases are accepted but not listed.
#[derive(Clone)]
pub(super) struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Choice<T> {
    /// The listed words.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        let is_first = |at: usize| self.0[..at].iter().all(|(_, meaning)| *meaning != self.0[at].1);
        self.0.iter().enumerate().filter(move |(at, _)| is_first(*at)).map(|(_, (word, _))| *word)
    }

    /// The aliases of `word`.
    pub fn aliases(&self, word: &str) -> impl Iterator<Item = &'static str> {
        let meaning = self.meaning(word);
        self.0
            .iter()
            .filter(move |(known, of)| Some(*of) == meaning && *known != self.word(*of))
            .map(|(known, _)| *known)
    }

    /// The value that `word` means.
    pub fn meaning(&self, word: &str) -> Option<T> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, meaning)| *meaning)
    }

    /// The word for `meaning`.
    pub fn word(&self, meaning: T) -> &'static str {
        let found = self.0.iter().find(|(_, known)| *known == meaning);
        found.expect("the table of words has each variant").0
    }
}

impl<T: Copy + PartialEq> Form for Choice<T> {
    type Value = T;

    fn expected(&self) -> String {
        let words: Vec<_> = self.words().map(|word| format!("\"{word}\"")).collect();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => words.concat(),
        }
    }

    fn near(&self, written: &str) -> Option<&'static str> {
        nearest(written, self.words())
    }

    fn read(&self, written: &DeValue<'_>) -> Result<T, Misfit> {
        written.as_str().and_then(|word| self.meaning(word)).ok_or(Misfit::Kind)
    }

    fn write(&self, value: &T) -> String {
        format!("\"{}\"", self.word(*value))
    }
}

/// Another form, or a word for `None`.
pub(super) struct OrWord<F> {
    /// How a value is written.
    pub form: F,
    /// How `None` is written.
    pub word: &'static str,
    /// Does 0 (a whole number or a duration) mean the same as the word?
    pub zero: bool,
}

impl<F: Form> Form for OrWord<F> {
    type Value = Option<F::Value>;

    fn expected(&self) -> String {
        format!("{}, or \"{}\"", self.form.expected(), self.word)
    }

    fn allowed(&self) -> String {
        format!("{}, or \"{}\"", self.form.allowed(), self.word)
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        let zero = || match written.as_str() {
            Some(text) => humantime::parse_duration(text).is_ok_and(|span| span.is_zero()),
            None => matches!(integer(written), Ok(0)),
        };
        match written.as_str() == Some(self.word) || self.zero && zero() {
            true => Ok(None),
            false => self.form.read(written).map(Some),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| format!("\"{}\"", self.word), |value| self.form.write(value))
    }
}

/// A frequency: a number, a slash and a duration.
pub(super) struct Times;

impl Form for Times {
    type Value = Frequency;

    fn expected(&self) -> String {
        "a frequency such as \"20/1m\" (20 times in 1 minute)".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Frequency, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        let (most, within) = text.split_once('/').ok_or(Misfit::Kind)?;
        let most = most.trim().parse().map_err(|_| Misfit::Kind)?;
        let within = humantime::parse_duration(within).map_err(|_| Misfit::Kind)?;
        let fits = (1..=1_000_000).contains(&most) && (Duration::from_secs(1)..=DAY).contains(&within);
        fits.then_some(Frequency { most, within }).ok_or_else(|| Misfit::Range(quoted(text)))
    }

    fn allowed(&self) -> String {
        "1 to 1000000 times in \"1s\" to \"1day\", such as \"20/1m\"".into()
    }

    fn write(&self, value: &Frequency) -> String {
        format!("\"{}/{}\"", value.most, humantime::format_duration(value.within))
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A path; an empty text means none.
pub(super) struct OptionalPath;

impl Form for OptionalPath {
    type Value = Option<PathBuf>;

    const PATH: bool = true;

    fn expected(&self) -> String {
        "a path, or \"\" for none".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        match text.contains('\0') {
            true => Err(Misfit::Said(format!("{} has a NUL character in it, which no path may have", quoted(text)))),
            false => Ok((!text.is_empty()).then(|| text.into())),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        toml::Value::from(value.as_deref().unwrap_or("".as_ref()).to_string_lossy().as_ref()).to_string()
    }
}

/// A text; an empty one means none.
pub(super) struct OptionalText;

impl Form for OptionalText {
    type Value = Option<String>;

    fn expected(&self) -> String {
        "a text, or \"\" for none".into()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        let text = written.as_str().ok_or(Misfit::Kind)?;
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn write(&self, value: &Self::Value) -> String {
        toml::Value::from(value.as_deref().unwrap_or("")).to_string()
    }
}

/// A text of one line that is a valid UTF-8 string of MQTT (MQTT 5 section 1.5.4); an empty one means none.
pub(super) struct OptionalString {
    /// Largest length in bytes.
    pub most: usize,
}

impl Form for OptionalString {
    type Value = Option<String>;

    fn expected(&self) -> String {
        OptionalText.expected()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        let text = OptionalText.read(written)?;
        let is_long = |text: &String| text.len() > self.most;
        match &text {
            Some(long) if is_long(long) => {
                Err(Misfit::Said(format!("it has {} bytes, more than {}", long.len(), self.most)))
            }
            Some(odd) if odd.contains(char::is_control) => {
                Err(Misfit::Said(format!("{} has a control character in it", quoted(odd))))
            }
            _ => Ok(text),
        }
    }

    fn write(&self, value: &Self::Value) -> String {
        OptionalText.write(value)
    }
}

/// A text that is never shown; an empty one means none. `write` returns a hash that differs for different secrets
/// within this process; `Key::shown` hides that too.
pub(super) struct OptionalSecret;

impl Form for OptionalSecret {
    type Value = Option<Secret>;

    const SECRET: bool = true;

    fn expected(&self) -> String {
        OptionalText.expected()
    }

    fn read(&self, written: &DeValue<'_>) -> Result<Self::Value, Misfit> {
        Ok(OptionalText.read(written)?.map(Secret))
    }

    fn write(&self, value: &Self::Value) -> String {
        digest(value, value.is_none())
    }
}

/// A hash that differs for different secrets within this process.
pub(super) fn digest(secret: &impl Hash, is_none: bool) -> String {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    if is_none { "\"\"".into() } else { format!("\"{:016x}\"", SEED.hash_one(secret)) }
}

/// Describes a written value for an error message; of a secret, only its type.
fn describe(written: &DeValue<'_>, is_secret: bool) -> String {
    let shown = |text: String| if is_secret { Secret::HIDDEN.into() } else { text };
    match written {
        DeValue::String(text) => format!("the text {}", shown(quoted(text))),
        DeValue::Integer(number) => format!("the whole number {}", shown(shortened(&number.to_string()))),
        DeValue::Float(number) => format!("the number {}", shown(shortened(number.as_str()))),
        DeValue::Datetime(date) => format!("the date {}", shown(date.to_string())),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Text between quotes on one line, long ones cut.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// The beginning of a text that is too long for a line.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A TOML integer; one beyond 128 bits is out of range.
fn integer(written: &DeValue<'_>) -> Result<i128, Misfit> {
    let number = written.as_integer().ok_or(Misfit::Kind)?;
    i128::from_str_radix(number.as_str(), number.radix()).map_err(|_| Misfit::Range(shortened(&number.to_string())))
}

/// `1 MiB` if the number of bytes is a multiple of a unit.
fn text_of_size(bytes: usize) -> Option<String> {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let bytes = bytes as u64;
    let (unit, shift) = units.into_iter().find(|(_, shift)| bytes != 0 && bytes.is_multiple_of(1 << shift))?;
    Some(format!("{} {unit}", bytes >> shift))
}
