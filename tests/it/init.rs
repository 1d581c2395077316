//! `dunlin init`: the printed commands work unchanged with mosquitto's clients; it replaces no file, and creates all
//! files or none.

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{
    namespace::{As, alone, has_mosquitto_clients, ran},
    raw::{Client, Connect},
    running::Running,
};

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().current_dir(dir).arg("init").args(args).stdin(Stdio::null());
    command
}

fn init(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

/// Ends with exit code 1 and one line with this text; prints nothing else.
fn refused(output: &Output, said: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count(), output.stdout.len()), (Some(1), 1, 0), "{error}");
    assert!(error.contains(said), "{error}");
    assert!(!error.contains("--dir") && !error.contains("--force"), "{error}");
}

fn files(dir: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

const WHOLE: [&str; 3] = ["certs", "dunlin.toml", "passwords"];

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
    // without the password no client is accepted, also from this machine
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
fn the_commands_that_init_prints_work() {
    if !has_mosquitto_clients() {
        return eprintln!("left out: mosquitto_sub is not installed");
    }
    alone("init::the_commands_that_init_prints_work", As::Anybody, |dir| {
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
fn init_reads_a_password_file_with_crlf_line_ends() {
    if !has_mosquitto_clients() {
        return eprintln!("left out: mosquitto_sub is not installed");
    }
    alone("init::init_reads_a_password_file_with_crlf_line_ends", As::Anybody, |dir| {
        for (name, text) in [
            ("crlf", &b"it's mine\r\nother\r\n"[..]),
            ("mark", b"\xEF\xBB\xBFit's mine\n"),
            ("both", b"\xEF\xBB\xBFit's mine\r\n"),
            ("latin1", b"caf\xE9\n"),
        ] {
            fs::write(dir.join(name), text).unwrap();
            works(dir, &printed(dir, &[&format!("of {name}"), "--password-file", name]));
        }
    });
}

#[test]
fn init_prints_working_commands_for_clients_elsewhere() {
    if !has_mosquitto_clients() {
        return eprintln!("left out: mosquitto_sub is not installed");
    }
    alone("init::init_prints_working_commands_for_clients_elsewhere", As::Anybody, |dir| {
        fs::write(dir.join("hosts"), "127.0.0.1 localhost broker.lan\n").unwrap();
        ran(Command::new("mount").arg("--bind").arg(dir.join("hosts")).arg("/etc/hosts"));
        fs::write(dir.join("secret"), "it's mine\n").unwrap();
        let told = printed(dir, &["a", "--password-file", "secret", "--host", "broker.lan"]);
        assert!(told.contains("copy a/certs/ca.pem there; this reads the password from the keyboard:"), "{told}");
        let elsewhere = line(&told, "IFS= read -r PASSWORD");
        assert!(elsewhere.contains(" -h broker.lan ") && !elsewhere.contains("secret"), "{elsewhere}");

        let mut running = Running::run(&mut shell(dir, &format!("exec {}", line(&told, "dunlin"))));
        running.wait_until_ready();
        let publish = format!("{} -q 1 -r", line(&told, "mosquitto_pub"));
        assert!(shell(dir, &publish).status().unwrap().success(), "{publish}");
        fs::create_dir(dir.join("elsewhere")).unwrap();
        fs::copy(dir.join("a/certs/ca.pem"), dir.join("elsewhere/ca.pem")).unwrap();
        let output = shell(&dir.join("elsewhere"), &format!("{elsewhere} -C 1"))
            .stdin(File::open(dir.join("secret")).unwrap())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "house/lamp on", "{elsewhere}");
        running.stop();
    });
}

#[test]
fn of_two_concurrent_inits_only_one_creates_files() {
    if !has_mosquitto_clients() {
        return eprintln!("left out: mosquitto_sub is not installed");
    }
    alone("init::of_two_concurrent_inits_only_one_creates_files", As::Anybody, |dir| {
        let spawn = |_| {
            let mut command = command(dir, &["house"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..3).map(spawn).collect();
        let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let (won, lost): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
        assert_eq!(won.len(), 1, "{outputs:?}");
        lost.iter().for_each(|output| refused(output, "house/dunlin.toml already exists; nothing was written"));
        assert_eq!(files(dir.join("house")), WHOLE);
        works(dir, &String::from_utf8_lossy(&won[0].stdout));
    });
}

#[test]
fn init_on_a_full_disk_creates_all_files_or_none() {
    alone("init::init_on_a_full_disk_creates_all_files_or_none", As::Anybody, |dir| {
        let place = dir.join("disk");
        fs::create_dir(&place).unwrap();
        let (mut wholes, mut failures) = (0, 0);
        // the configuration alone needs several pages of 4 KiB: it is where some of these have no room left
        for size in (8..=96).step_by(8) {
            ran(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}k"), "tmpfs"]).arg(&place));
            let output = init(&place, &["."]);
            if output.status.success() {
                assert_eq!(files(&place), WHOLE);
                wholes += 1;
            } else {
                refused(&output, "No space left on device");
                assert_eq!(files(&place), [""; 0], "{size} KiB");
                failures += 1;
            }
            ran(Command::new("umount").arg(&place));
        }
        assert!(wholes > 0 && failures > 1, "{wholes} {failures}");
    });
}

#[test]
fn init_after_a_killed_one_lists_the_files_to_remove() {
    let dir = tempfile::tempdir().unwrap();
    // killed before anything was in its place
    fs::create_dir_all(dir.path().join("a/.dunlin-init.unfinished/certs")).unwrap();
    fs::write(dir.path().join("a/.dunlin-init.unfinished/passwords"), "bob:").unwrap();
    printed(dir.path(), &["a"]);
    assert_eq!(files(dir.path().join("a")), WHOLE);
    // killed before the last was
    fs::remove_file(dir.path().join("a/dunlin.toml")).unwrap();
    refused(
        &init(dir.path(), &["a"]),
        "there is no a/dunlin.toml, but already a/passwords and a/certs: an earlier `dunlin init` may have been stopped; \
         nothing was written: remove a/passwords and a/certs, or give another directory",
    );
    fs::remove_file(dir.path().join("a/passwords")).unwrap();
    fs::remove_dir_all(dir.path().join("a/certs")).unwrap();
    printed(dir.path(), &["a"]);
}

#[test]
fn init_generates_no_password_without_a_place_to_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let to = |out: &str, args: &str| {
        let line = format!("exec dunlin init a {args} {out}");
        shell(dir.path(), &line).stdin(Stdio::null()).output().unwrap()
    };
    for out in [">&-", "> /dev/null"] {
        refused(&to(out, ""), "standard output is closed or /dev/null, so the password that is made would be lost");
        assert_eq!(files(dir.path()), [""; 0], "{out}");
    }
    // no terminal reads
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = command(dir.path(), &["a"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    refused(&output, "cannot write the password that was made to standard output: ");
    refused(&to("> /dev/full", ""), "cannot write the password that was made to standard output: ");
    assert!(!dir.path().join("a").exists());
    // one that is given is not lost
    fs::write(dir.path().join("secret"), "mine\n").unwrap();
    assert!(to(">&-", "--password-file secret").status.success());
    assert_eq!(files(dir.path().join("a")), WHOLE);
}

#[test]
fn all_files_belong_to_the_owner_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let of = |path: &str| {
        let about = fs::metadata(dir.path().join(path)).unwrap();
        (about.uid(), about.gid(), about.mode() & 0o777)
    };
    const ALL: [(&str, u32); 9] = [
        ("passwords", 0o600),
        ("dunlin.toml", 0o644),
        ("certs", 0o755),
        ("certs/ca.pem", 0o644),
        ("certs/ca.key", 0o600),
        ("certs/server.pem", 0o644),
        ("certs/server.key", 0o600),
        ("certs/client.pem", 0o644),
        ("certs/client.key", 0o600),
    ];
    for (name, owner, group) in [("users", 1234, 5678), ("groups", 0, 5678)] {
        fs::create_dir(dir.path().join(name)).unwrap();
        if chown(dir.path().join(name), Some(owner), Some(group)).is_err() {
            return println!("NOT RUN, as only root can give files away");
        }
        printed(dir.path(), &[name]);
        for (file, mode) in ALL {
            let read_by_group = owner == 0 && ["passwords", "certs/server.key"].contains(&file);
            let mode = if read_by_group { 0o640 } else { mode };
            assert_eq!(of(&format!("{name}/{file}")), (owner, group, mode), "{name}/{file}");
        }
    }
}

#[test]
fn init_refuses_passwords_that_no_client_can_send() {
    let dir = tempfile::tempdir().unwrap();
    for (text, said) in [
        (vec![b'x'; 65_536], "the first line of --password-file is longer than the 65,535 bytes that MQTT has"),
        (b"m\0i\0n\0e\0\n\0".into(), "the first line of --password-file has a NUL in it"),
        (b"mine\rother\n".into(), "the first line of --password-file has a carriage return before its end"),
    ] {
        fs::write(dir.path().join("secret"), text).unwrap();
        refused(&init(dir.path(), &["a", "--password-file", "secret"]), said);
    }
    symlink("/dev/zero", dir.path().join("endless")).unwrap();
    refused(&init(dir.path(), &["a", "--password-file", "endless"]), "is longer than the 65,535 bytes");
    assert_eq!(files(dir.path()), ["endless", "secret"]);

    // a pipe cannot be read again
    let mut child = command(dir.path(), &["a", "--password-file", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"mine\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(" -P PASSWORD ") && told.contains("PASSWORD is the password that you gave."), "{told}");
}

#[test]
fn init_replaces_no_file_and_a_failed_one_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let files = |of: &str| files(dir.path().join(of));
    let refused = |args: &[&str], said: &str| refused(&init(dir.path(), args), said);
    for there in ["dunlin.toml", "passwords", "certs", "data"] {
        let within = format!("with-{there}");
        fs::create_dir(dir.path().join(&within)).unwrap();
        fs::write(dir.path().join(&within).join(there), "mine").unwrap();
        let said = match there {
            "dunlin.toml" | "data" => format!("{within}/{there} already exists; nothing was written"),
            _ => format!("there is no {within}/dunlin.toml, but already {within}/{there}: "),
        };
        refused(&[&within], &said);
        assert_eq!(files(&within), [there]);
        assert_eq!(fs::read_to_string(dir.path().join(&within).join(there)).unwrap(), "mine");
    }
    refused(&["x", "--host", "no host"], "\"no host\" is not a host name or address");
    refused(&["x", "--user", "a:b"], "the user name \"a:b\" has a colon in it");
    refused(&["x", "--password-file", "none"], "--password-file: cannot read none: ");
    assert!(!dir.path().join("x").exists());
    printed(dir.path(), &["x"]);
    assert_eq!(files("x"), ["certs", "dunlin.toml", "passwords"]);
    refused(&["x"], "x/dunlin.toml already exists");
}
