//! Compares the table of statements with the test functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::statements::{Coverage, STATEMENTS};

#[test]
fn every_statement_has_a_test_or_a_reason() {
    for statement in STATEMENTS {
        assert!(!statement.says.is_empty(), "[{}] says nothing", statement.id);
        match statement.coverage {
            Coverage::Tests(tests) => assert!(!tests.is_empty(), "[{}] has neither test nor reason", statement.id),
            Coverage::Untested(reason) => assert!(!reason.is_empty(), "[{}] has neither test nor reason", statement.id),
        }
    }
}

#[test]
fn every_statement_is_in_the_table_once() {
    let ids: BTreeSet<_> = STATEMENTS.iter().map(|statement| statement.id).collect();
    assert_eq!(ids.len(), STATEMENTS.len(), "an id repeats");
    // Those of appendix B, by section: how many statements each has, numbered from 1.
    let expected: BTreeSet<_> = SECTIONS
        .into_iter()
        .flat_map(|(section, count)| (1..=count).map(move |number| format!("MQTT-{section}-{number}")))
        .map(|id| if id == "MQTT-3.8.3-4" { "MQTT-3-8.3-4".to_owned() } else { id })
        .collect();
    assert_eq!(expected.len(), 141);
    let ids: BTreeSet<_> = ids.into_iter().map(str::to_owned).collect();
    assert_eq!(ids.symmetric_difference(&expected).collect::<Vec<_>>(), [""; 0], "missing or invented");
}

const SECTIONS: [(&str, u32); 39] = [
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

#[test]
fn every_test_that_is_named_exists() {
    let found = tests_in_the_sources();
    for statement in STATEMENTS {
        for test in statement.tests() {
            assert!(found.contains_key(*test), "[{}] names {test}, which is no test", statement.id);
        }
    }
}

#[test]
fn every_numbered_test_is_named_by_its_statement() {
    for (test, file) in tests_in_the_sources() {
        if !test.starts_with("mqtt_") {
            let ours = ["coverage.rs", "statements.rs"].contains(&file.as_str());
            assert!(test.starts_with("also_") || ours, "{file}: {test} is neither mqtt_… nor also_…");
            continue;
        }
        let owner = STATEMENTS.iter().find(|statement| test.starts_with(&statement.prefix()));
        let owner = owner.unwrap_or_else(|| panic!("{file}: {test} has the number of no statement"));
        assert!(owner.tests().contains(&test.as_str()), "{file}: [{}] does not name {test}", owner.id);
    }
}

/// The names of all functions below a `#[test]` in this directory, and the file that has each.
fn tests_in_the_sources() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance");
    let main = fs::read_to_string(directory.join("mod.rs")).expect("mod.rs");
    let mut tests = BTreeMap::new();
    for entry in fs::read_dir(&directory).expect("the directory of the tests") {
        let path = entry.expect("an entry").path();
        let (Some(name), Some(stem)) = (path.file_name(), path.file_stem()) else { continue };
        let (name, stem) = (name.to_string_lossy().into_owned(), stem.to_string_lossy().into_owned());
        if !name.ends_with(".rs") {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source file");
        let mut marked = false;
        for line in source.lines().map(str::trim) {
            match line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
                Some(rest) if marked => {
                    assert!(main.contains(&format!("mod {stem};")), "{name} is not compiled: main.rs leaves it out");
                    let test = rest.split('(').next().unwrap_or_default().to_owned();
                    if let Some(other) = tests.insert(test.clone(), name.clone()) {
                        panic!("{test} is in {other} and in {name}");
                    }
                    marked = false;
                }
                _ if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => marked = true,
                // Further attributes may stand between.
                _ => marked &= line.starts_with("#["),
            }
        }
    }
    tests
}
