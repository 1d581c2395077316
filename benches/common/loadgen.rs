//! The load generator beside the checkout (`../shared/loadgen`), built into this project's `target`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Its folder: `DUNLIN_LOADGEN_DIR`, or `../shared/loadgen`.
pub fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/loadgen");
    env::var_os("DUNLIN_LOADGEN_DIR").map_or_else(beside, PathBuf::from)
}

/// Builds it, and gives the program's path: `LOADGEN` where that is set.
pub fn program() -> PathBuf {
    if let Some(program) = env::var_os("LOADGEN") {
        return program.into();
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/loadgen");
    let manifest = folder().join("Cargo.toml");
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{} does not build; DUNLIN_LOADGEN_DIR names another folder", manifest.display());
    target.join("release/loadgen")
}

/// A configuration for measuring, `limits` within its `[limits]`, in a file that goes with the answer.
#[allow(dead_code)]
pub fn config(limits: &str) -> tempfile::TempPath {
    config_with("", limits)
}

/// The same, with `top` before all tables.
#[allow(dead_code)]
pub fn config_with(top: &str, limits: &str) -> tempfile::TempPath {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = format!("{top}\n[log]\nlevel = \"warn\"\n[limits]\nmax_queued_messages = 1000000\n{limits}\n");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("the temporary file can be written");
    file.into_temp_path()
}
