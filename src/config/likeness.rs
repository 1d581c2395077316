//! Which of the known words is most like a word that is none of them.

/// The known word that is most like `word`, if one is like it.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LIKE: f64 = 0.6;
    likest(word, known).filter(|(likeness, _)| *likeness >= LIKE).map(|(_, known)| known)
}

/// The same, however little it is like it.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    likest(word, known).map(|(_, known)| known)
}

fn likest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let near = known.map(|known| (strsim::normalized_damerau_levenshtein(&word, known), known));
    near.max_by(|a, b| a.0.total_cmp(&b.0))
}
