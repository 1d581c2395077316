//! `dunlin init`: what it prints works as it stands, with mosquitto's clients; and it replaces nothing.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{
    namespace::{As, alone, has_mosquitto_clients},
    raw::{Client, Connect},
    running::Running,
};

fn init(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().current_dir(dir).arg("init").args(args).stdin(Stdio::null()).output().unwrap()
}

fn printed(dir: &Path, args: &[&str]) -> String {
    let output = init(dir, args);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()));
    String::from_utf8(output.stdout).unwrap()
}

/// The first command line that begins with this word.
fn line<'a>(printed: &'a str, word: &str) -> &'a str {
    let mut lines = printed.lines().filter_map(|line| line.strip_prefix("  "));
    lines.find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("no {word} in\n{printed}"))
}

/// A shell that runs this line, with dunlin in its PATH.
fn shell(dir: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    let bin = Path::new(env!("CARGO_BIN_EXE_dunlin")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap());
    command.env_clear().env("PATH", path).current_dir(dir).args(["-c", line]);
    command
}

/// Runs the broker and the clients as printed.
fn works(dir: &Path, printed: &str) {
    let broker = format!("exec {}", line(printed, "dunlin"));
    let mut running = Running::run(&mut shell(dir, &broker));
    running.wait_until_ready();
    let publish = format!("{} -q 1 -r", line(printed, "mosquitto_pub"));
    assert!(shell(dir, &publish).status().unwrap().success(), "{publish}");
    let subscribe = format!("{} -C 1", line(printed, "mosquitto_sub"));
    let output = shell(dir, &subscribe).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!((said.trim(), output.status.code()), ("house/lamp on", Some(0)), "{subscribe}");
    // without the password nobody is let in, from this machine too
    for address in &running.addresses {
        if address.port() == 1883 {
            let mut client = Client::open(*address);
            client.send(&Connect::new("c").frame());
            client.expect_refused(5);
        }
    }
    running.stop();
}

#[test]
fn what_is_printed_works() {
    if !has_mosquitto_clients() {
        return eprintln!("left out: mosquitto_sub is not installed");
    }
    alone("init::what_is_printed_works", As::Anybody, |dir| {
        // a password that is made
        let made = printed(dir, &["a house"]);
        let password = line(&made, "mosquitto_sub").split(" -P ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(password.len() >= 24 && made.contains(&format!("The password of dunlin is {password};")), "{made}");
        works(dir, &made);
        let config = fs::read_to_string(dir.join("a house/dunlin.toml")).unwrap();
        assert!(!config.contains(password));

        // one that is given, which is not shown
        fs::write(dir.join("secret"), "it's mine\nother\n").unwrap();
        let given = printed(dir, &["b", "--user", "alice", "--password-file", "secret", "--host", "broker.lan"]);
        assert!(given.contains("-u alice") && given.contains("broker.lan") && !given.contains("mine"), "{given}");
        works(dir, &given);
        let mode = |file: &str| fs::metadata(dir.join("b").join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("passwords"), mode("certs/server.key"), mode("dunlin.toml")), (0o600, 0o600, 0o644));
    });
}

#[test]
fn nothing_is_replaced_and_nothing_is_left_of_what_failed() {
    let dir = tempfile::tempdir().unwrap();
    let files = |of: &str| {
        let mut files: Vec<_> =
            fs::read_dir(dir.path().join(of)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        files
    };
    let refused = |args: &[&str], said: &str| {
        let output = init(dir.path(), args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count(), output.stdout.len()), (Some(1), 1, 0), "{error}");
        assert!(error.contains(said), "{error}");
    };
    for there in ["dunlin.toml", "passwords", "certs", "data"] {
        let within = format!("with-{there}");
        fs::create_dir(dir.path().join(&within)).unwrap();
        fs::write(dir.path().join(&within).join(there), "mine").unwrap();
        refused(&[&within], &format!("{within}/{there} is there already; nothing was written: give another directory"));
        assert_eq!(files(&within), [there]);
        assert_eq!(fs::read_to_string(dir.path().join(&within).join(there)).unwrap(), "mine");
    }
    refused(&["x", "--host", "no host"], "\"no host\" is no host name or address");
    refused(&["x", "--user", "a:b"], "the user name \"a:b\" has a colon in it");
    refused(&["x", "--password-file", "none"], "cannot read none: ");
    assert_eq!(files("x"), [""; 0]);
    printed(dir.path(), &["x"]);
    assert_eq!(files("x"), ["certs", "dunlin.toml", "passwords"]);
    refused(&["x"], "x/dunlin.toml is there already");
}
