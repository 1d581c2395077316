//! Compares the table of statements of MQTT 5 with the test functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const TABLE: &str = include_str!("../mqtt5-statements.tsv");

/// A row of the table.
struct Statement {
    id: &'static str,
    who: &'static str,
    says: &'static str,
    /// Names of tests, with a space in between; `next`: it is of what comes next; `client`: it binds clients alone, and
    /// a server has no answer to it; nothing: not yet.
    test: &'static str,
}

#[test]
fn the_table_has_each_statement_once() {
    let rows = statements();
    let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!((rows.len(), ids.len()), (251, 251));
    for row in &rows {
        assert!(!row.says.is_empty(), "[{}] says nothing", row.id);
        assert!(row.test != "client" || row.who == "client", "[{}] binds a server too", row.id);
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let found = tests_in_the_sources();
    for row in statements() {
        for test in row.test.split(' ').filter(|test| !["", "next", "client"].contains(test)) {
            assert!(found.contains_key(test), "[{}] names {test}, which is no test", row.id);
        }
    }
}

#[test]
fn every_test_is_named_by_a_statement_or_begins_with_also() {
    let named: BTreeSet<_> = statements().iter().flat_map(|row| row.test.split(' ')).collect();
    for (test, file) in tests_in_the_sources() {
        let is_named = named.contains(test.as_str()) || file == "coverage.rs";
        assert!(is_named != test.starts_with("also_"), "{file}: {test}: no statement names it, or it is no also_…");
    }
}

fn statements() -> Vec<Statement> {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("statement\twho\tpacket\tdemand\tserver_test\tchecked\ttest"));
    let row = |line: &'static str| {
        let columns: Vec<_> = line.split('\t').collect();
        let &[id, who, _, says, _, _, test] = &columns[..] else { panic!("not seven columns: {line}") };
        Statement { id, who, says, test }
    };
    lines.map(row).collect()
}

/// The names of all functions below a `#[test]` in this directory, and the file that has each.
fn tests_in_the_sources() -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/five");
    let mut tests = BTreeMap::new();
    for entry in fs::read_dir(&directory).expect("the directory of the tests") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let source = fs::read_to_string(&path).expect("a source file");
        let mut marked = false;
        for line in source.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                let test = rest.split('(').next().unwrap_or_default().to_owned();
                if let Some(other) = tests.insert(test.clone(), name.clone()) {
                    panic!("{test} is in {other} and in {name}");
                }
            }
            marked = line == "#[test]";
        }
    }
    tests
}
