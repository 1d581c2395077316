//! `dunlin completions` and `dunlin man`: each shell loads its script and completes with it, and the pages are
//! well-formed and have every command and flag.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use clap::CommandFactory;
use dunlin::config::Cli;

use crate::support::running::Running;

const DUNLIN: &str = env!("CARGO_BIN_EXE_dunlin");

fn printed(args: &[&str]) -> String {
    let output = Command::new(DUNLIN).args(args).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Is this program there? With `DUNLIN_NEEDS_SHELLS`, it has to be.
fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("DUNLIN_NEEDS_SHELLS").is_none(), "{program} is not installed");
    if !found {
        eprintln!("left out: {program} is not installed");
    }
    found
}

/// The output of a shell that runs this script, in which `$1` is the file of the completions.
fn shell(program: &str, script: &str, completions: &Path) -> String {
    let output = Command::new(program).args(["-c", script, program]).arg(completions).env("TERM", "dumb").output();
    let output = output.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && err.is_empty(), "{program}: {}\n{out}{err}", output.status);
    out
}

#[test]
fn bash_completes_commands_and_flags() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dunlin.bash");
    fs::write(&file, printed(&["completions", "bash"])).unwrap();
    let complete = |words: &str, last: usize| {
        let script = format!(
            "source \"$1\"; COMP_WORDS=({words}); COMP_CWORD={last}; COMPREPLY=(); \
             _dunlin dunlin \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last} - 1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        shell("bash", &script, &file)
    };
    assert_eq!(complete("dunlin pass", 1), "passwd\n");
    assert_eq!(complete("dunlin --log-f", 1), "--log-format\n");
    assert_eq!(complete("dunlin store ba", 2), "backup\n");
    assert_eq!(complete("dunlin completions z", 2), "zsh\n");
}

#[test]
fn zsh_loads_the_completions() {
    let dir = tempfile::tempdir().unwrap();
    let (file, text) = (dir.path().join("_dunlin"), printed(&["completions", "zsh"]));
    assert!(text.starts_with("#compdef dunlin\n"), "{}", &text[..100]);
    fs::write(&file, &text).unwrap();
    if is_there("zsh") {
        let script = "fpath=(${1:h} $fpath); autoload -Uz compinit; compinit -D -u; autoload +X -Uz _dunlin; \
                      print -r -- $_comps[dunlin]";
        assert_eq!(shell("zsh", script, &file), "_dunlin\n");
    }
}

#[test]
fn fish_completes_commands_and_flags() {
    let dir = tempfile::tempdir().unwrap();
    let (file, text) = (dir.path().join("dunlin.fish"), printed(&["completions", "fish"]));
    for part in ["complete -c dunlin", "-l data-dir", "-a \"passwd\""] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    fs::write(&file, &text).unwrap();
    if is_there("fish") {
        let script = format!("source {}; complete -C 'dunlin pass'", file.display());
        let output =
            Command::new("fish").args(["--no-config", "-c", &script]).env("HOME", dir.path()).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.starts_with("passwd\t"), "{out}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn shells_complete_the_clients_of_a_broker_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let config = dir.path().join("dunlin.toml");
    fs::write(&config, format!("[http]\nlisten = \"unix:{}\"\n", socket.display())).unwrap();
    let broker = Running::start(&["--config", config.to_str().unwrap()]);
    let _clients = ["lamp", "lamp 2", "door"].map(|id| broker.client(id));
    let bin = Path::new(DUNLIN).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let [bash, fish] = [("bash", "dunlin.bash"), ("fish", "dunlin.fish")].map(|(shell, name)| {
        let file = dir.path().join(name);
        fs::write(&file, printed(&["completions", shell])).unwrap();
        file
    });
    for (words, before) in [("kick", "kick"), ("trace start --client", "--client")] {
        let line = format!("dunlin ctl --url unix:{} {words} l", socket.display());
        let script = format!(
            "PATH='{path}'; source \"$1\"; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _dunlin_with_clients dunlin l {before}; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        assert_eq!(sorted(&shell("bash", &script, &bash)), ["lamp", "lamp\\ 2"], "{words}");
        if is_there("fish") {
            let script = format!("source {}; complete -C '{line}'", fish.display());
            let mut command = Command::new("fish");
            command.args(["--no-config", "-c", &script]).env("HOME", dir.path()).env("PATH", &path);
            let output = command.output().unwrap();
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(sorted(&out), ["lamp", "lamp 2"], "{words}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let zsh = printed(&["completions", "zsh"]);
    assert!(zsh.contains("a Client Identifier]:ID:_dunlin_clients"), "{zsh}");
    assert!(zsh.contains("Client Identifier:_dunlin_clients") && zsh.contains("\n_dunlin_clients() {"), "{zsh}");
    broker.stop();
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    assert_eq!(printed(&["man", pages.to_str().unwrap()]), "");
    let mut command = Cli::command();
    command.build();
    let mut expected = Vec::new();
    fn names(command: &clap::Command, expected: &mut Vec<(String, clap::Command)>) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        expected.push((format!("{name}.1"), command.clone()));
        command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(|sub| names(sub, expected));
    }
    names(&command, &mut expected);
    let mut found: Vec<_> =
        fs::read_dir(&pages).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut files: Vec<_> = expected.iter().map(|(file, _)| file.clone()).collect();
    files.sort();
    assert_eq!(found, files);
    for (file, command) in &expected {
        let page = fs::read_to_string(pages.join(file)).unwrap();
        for long in command.get_arguments().filter_map(|arg| arg.get_long()) {
            let flag = format!("\\-\\-{}", long.replace('-', "\\-"));
            assert!(page.contains(&flag), "{file} has no {flag}:\n{page}");
        }
        if is_there("mandoc") {
            let told =
                Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(pages.join(file)).output().unwrap();
            assert!(told.status.success(), "{file}: {}", String::from_utf8_lossy(&told.stdout));
        }
    }
    // without a directory, it is printed
    assert_eq!(printed(&["man"]), fs::read_to_string(pages.join("dunlin.1")).unwrap());
}

#[test]
fn pages_that_cannot_be_written_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let output = Command::new(DUNLIN).arg("man").arg(&file).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.starts_with(&format!("dunlin: cannot write the manual pages to {}: ", file.display())), "{told}");
}
