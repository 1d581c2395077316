//! What is written for people about the configuration is what the code does: `config/dunlin.toml` and the table in
//! `README.md` are those that `dunlin::config::reference` makes. `DUNLIN_BLESS=1 cargo test --test it config_reference`
//! writes them.

use std::{fs, path::PathBuf};

use dunlin::config::reference;

#[test]
fn the_default_configuration_file() {
    assert_written("config/dunlin.toml", |_| reference::toml());
}

#[test]
fn the_table_in_the_readme() {
    assert_written("README.md", |readme| {
        let (before, rest) = readme.split_once(BEGIN).expect("README.md has the line <!-- config-reference -->");
        let (_, after) = rest.split_once(END).expect("README.md has the line <!-- /config-reference -->");
        format!("{before}{BEGIN}\n{}{END}{after}", reference::markdown())
    });
}

#[test]
fn the_defaults_that_differ_from_those_of_mosquitto() {
    let readme = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("| key | here | mosquitto |\n|---|---|---|\n").expect("the table is there");
    let rows: Vec<_> = rest.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "{rows:?}");
    let reference = reference::markdown();
    for row in rows {
        let key_and_default = row.rsplitn(3, '|').last().expect("a row has three cells");
        assert!(reference.contains(&format!("{key_and_default}|")), "this is not the default: {key_and_default}");
    }
}

/// The file is what `make` makes of it; with `DUNLIN_BLESS` set, it becomes that.
fn assert_written(file: &str, make: impl Fn(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let written = fs::read_to_string(&path).unwrap_or_default();
    let expected = make(&written);
    if std::env::var_os("DUNLIN_BLESS").is_some_and(|value| !value.is_empty()) {
        return fs::write(&path, expected).unwrap();
    }
    let differs = written.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        written == expected,
        "{file} is not what the code says, from line {}; refresh it with\n  \
         DUNLIN_BLESS=1 cargo test --test it config_reference",
        differs.unwrap_or(written.lines().count().min(expected.lines().count())) + 1
    );
}

const BEGIN: &str = "<!-- config-reference -->";
const END: &str = "<!-- /config-reference -->";
