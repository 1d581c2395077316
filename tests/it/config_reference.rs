//! The generated reference: `config/dunlin.toml` and the tables in `docs/configuration.md` and `docs/from-mosquitto.md`
//! must equal the output of `dunlin::config` and the command line. `DUNLIN_BLESS=1 cargo test --test it
//! config_reference` writes them.

use std::{fmt::Write, fs, path::PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory};
use dunlin::config::{Cli, reference};

#[test]
fn the_default_configuration_file() {
    assert_written("config/dunlin.toml", |_| reference::toml());
}

#[test]
fn the_tables_of_keys_flags_and_commands() {
    assert_written(PAGE, |page| {
        let page = with(page, "flags", &flags());
        let page = with(&page, "commands", &commands());
        with(&page, "config-reference", &reference::markdown())
    });
}

#[test]
fn the_table_of_options_of_mosquitto() {
    assert_written("docs/from-mosquitto.md", |page| with(page, "options", &dunlin::config::mosquitto::markdown()));
}

#[test]
fn every_flag_and_command_is_in_the_tables() {
    let (flags, commands) = (flags(), commands());
    for name in ["--data-dir DIR", "-c FILE", "--allow-anonymous", "--log-format FORMAT", "-v"] {
        assert!(flags.contains(&format!("`{name}")), "{name} is not in\n{flags}");
    }
    for name in ["certs", "store backup", "passwd", "explain", "health", "import", "init"] {
        assert!(commands.contains(&format!("| `dunlin {name}")), "{name} is not in\n{commands}");
    }
}

#[test]
fn the_defaults_that_differ_from_those_of_mosquitto() {
    let page = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/from-mosquitto.md")).unwrap();
    let (_, rest) = page.split_once("| key | here | mosquitto |\n|---|---|---|\n").expect("the table is there");
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
        // another test reads the page at the same time
        if written != expected {
            fs::write(&path, expected).unwrap();
        }
        return;
    }
    let differs = written.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        written == expected,
        "{file} is not what the code says, from line {}; refresh it with\n  \
         DUNLIN_BLESS=1 cargo test --test it config_reference",
        differs.unwrap_or(written.lines().count().min(expected.lines().count())) + 1
    );
}

const PAGE: &str = "docs/configuration.md";

/// The page, with this between its markers of that name.
#[track_caller]
fn with(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin).expect("the page has the line that begins it");
    let (_, after) = rest.split_once(&end).expect("the page has the line that ends it");
    format!("{before}{begin}{text}{end}{after}")
}

fn flags() -> String {
    let mut table = String::from("| flag | variable | what it does |\n|---|---|---|\n");
    let mut command = Cli::command();
    command.build();
    for arg in command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
        let short = arg.get_short().map(|short| format!("-{short}"));
        let long = arg.get_long().map(|long| format!("--{long}"));
        let names: Vec<_> =
            [short, long].into_iter().flatten().map(|name| format!("`{}`", name + &value(arg))).collect();
        let variable = arg.get_env().map_or_else(String::new, |env| format!("`{}`", env.to_string_lossy()));
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(table, "| {} | {variable} | {} |", names.join(", ").replace('|', "\\|"), cell(&help)).unwrap();
    }
    table
}

/// The value name of a flag.
fn value(arg: &Arg) -> String {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return String::new();
    }
    let name = arg.get_value_names().map_or_else(String::new, |names| names.iter().map(ToString::to_string).collect());
    if arg.is_require_equals_set() { format!("[={name}]") } else { format!(" {name}") }
}

fn commands() -> String {
    let mut table = String::from("| command | what it does |\n|---|---|\n");
    let mut command = Cli::command();
    command.build();
    rows(&command, &mut table);
    table
}

/// A row for each command that has none below it.
fn rows(command: &Command, table: &mut String) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        if sub.has_subcommands() {
            rows(sub, table);
            continue;
        }
        let usage = sub.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace(['<', '>'], "");
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(table, "| `{}` | {} |", usage, cell(&about)).unwrap();
    }
}

fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if text.ends_with('.') { text } else { text + "." }
}
