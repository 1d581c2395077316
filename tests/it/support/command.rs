//! Runs the binary to its end; its environment is empty but for variables of the test.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs dunlin to its end in `dir`.
pub fn dunlin(dir: &Path, variables: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.current_dir(dir).env_clear().envs(variables.iter().copied()).args(flags).output().expect("dunlin runs")
}

/// Standard output of a successful run, whose standard error must be empty.
#[track_caller]
pub fn told(dir: &Path, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let output = dunlin(dir, variables, flags);
    assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)), "{variables:?} {flags:?}");
    text(&output.stdout)
}

/// Standard error of a run that ends with exit code `code` and prints nothing else.
#[track_caller]
pub fn refused(dir: &Path, variables: &[(&str, &str)], flags: &[&str], code: i32) -> String {
    let output = dunlin(dir, variables, flags);
    assert_eq!((text(&output.stdout), output.status.code()), (String::new(), Some(code)), "{variables:?} {flags:?}");
    text(&output.stderr)
}

/// What dunlin wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("dunlin writes UTF-8")
}
