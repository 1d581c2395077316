//! The patches of `tests/mutations` fit the sources. `tests/mutations/run` applies them, which takes too long for each
//! run of the tests.

use std::{fs, path::Path};

use crate::assert_none;

#[test]
fn each_mutation_fits_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("tests/mutations")).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "patch")).collect();
    assert!(patches.len() >= 10, "{patches:?}");
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    assert_none(patches.iter().flat_map(|patch| {
        let misfits = misfits(&fs::read_to_string(patch).unwrap(), &read).into_iter();
        misfits.map(|hunk| format!("{}: not in the sources, or not once:\n{hunk}", patch.display()))
    }));
}

/// The old lines of each hunk that its file does not have exactly once.
fn misfits(patch: &str, read: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut misfits = Vec::new();
    let mut text = String::new();
    // what stands before the first `---` describes the mutation
    for hunks in patch.split("\n--- a/").skip(1) {
        let file = hunks.lines().next().unwrap_or_default();
        let source = read(file);
        for hunk in hunks.split("\n@@ ").skip(1) {
            text.clear();
            for line in hunk.lines().skip(1) {
                if let Some(old) = line.strip_prefix(' ').or_else(|| line.strip_prefix('-')) {
                    text.extend([old, "\n"]);
                }
            }
            if text.is_empty() || source.matches(&text).count() != 1 {
                misfits.push(format!("{file}\n{text}"));
            }
        }
    }
    misfits
}

#[test]
fn a_hunk_that_does_not_fit_is_found() {
    let patch = "Says what it breaks.\n\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";
    assert_eq!(misfits(patch, &|_| "one\ntwo\n".into()), Vec::<String>::new());
    assert_eq!(misfits(patch, &|_| "one\nthree\n".into()), ["src/a.rs\none\ntwo\n"]);
    assert_eq!(misfits(patch, &|_| "one\ntwo\none\ntwo\n".into()).len(), 1);
}
