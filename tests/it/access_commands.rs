//! `dunlin passwd`, `dunlin explain`, and `--check` of the files of users, rules and keys, from the outside.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Exit code, standard output, standard error of dunlin in `dir`, with `input` to read.
fn dunlin(dir: &TempDir, variables: &[(&str, &str)], args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.current_dir(dir.path()).env_clear().envs(variables.iter().copied()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("dunlin runs");
    // one that reads nothing may be gone
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), out, err)
}

fn write(dir: &TempDir, name: &str, text: &str) {
    fs::write(dir.path().join(name), text).unwrap();
    fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o640)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn passwd_sets_changes_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    let told = |args: &[&str], input: &str| {
        let (code, out, err) = dunlin(&dir, &[], args, input);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
        out
    };
    assert!(told(&["passwd", "users", "bob", "--batch"], "secret\nmore\n").starts_with("users: user \"bob\" added"));
    assert_eq!(mode(&file), 0o600);
    let line = fs::read_to_string(&file).unwrap();
    assert!(line.starts_with("bob:$argon2id$v=19$m=19456,t=2,p=1$") && line.ends_with('\n'), "{line}");
    assert!(!line.contains("secret"));
    assert!(told(&["passwd", "users", "bob", "--batch"], "other\r\n").contains("has a new password"));
    assert_ne!(fs::read_to_string(&file).unwrap(), line);
    assert!(told(&["passwd", "--delete", "users", "bob"], "").contains("deleted"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "# no users\n");
}

#[test]
fn passwd_reports_errors_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "bad", "bob:clear\n");
    for (args, input, code, said) in [
        (&["passwd", "users", "bob", "--batch"][..], "\n", 1, "dunlin: the password is empty; nothing was changed\n"),
        (&["passwd", "users", "bob", "--batch"], "", 1, "dunlin: the password is empty; nothing was changed\n"),
        (&["passwd", "users", "bob", "--delete"], "", 1, "dunlin: the password file = users: cannot be read: "),
        (&["passwd", "users", "a:b", "--batch"], "x\n", 1, "dunlin: the user name \"a:b\" has a colon in it"),
        (&["passwd", "bad", "eve", "--batch"], "x\n", 1, "dunlin: bad:1: user \"bob\": no hash of a password"),
        (&["passwd", "none/users", "eve", "--batch"], "x\n", 1, "dunlin: none/users: cannot be written: "),
        (&["passwd", "users", "eve", "--batch", "--delete"], "", 2, "error: the argument '--batch' cannot be used"),
        (&["passwd", "users"], "", 2, "error: the following required arguments were not provided"),
    ] {
        let (got, out, err) = dunlin(&dir, &[], args, input);
        assert_eq!((got, out.as_str()), (Some(code), ""), "{args:?} {err}");
        assert!(err.starts_with(said), "{args:?}: {err}");
    }
    for (input, said) in [
        (
            "x".repeat(65_536),
            "dunlin: the password is longer than the 65,535 bytes that MQTT has for a password; nothing",
        ),
        ("a\0b\n".into(), "dunlin: the password has a NUL in it"),
    ] {
        let (code, _, err) = dunlin(&dir, &[], &["passwd", "users", "bob", "--batch"], &input);
        assert!(code == Some(1) && err.starts_with(said), "{err}");
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bad"]);
}

#[test]
fn passwd_accepts_any_bytes_and_replaces_only_regular_files() {
    let dir = tempfile::tempdir().unwrap();
    let passwd = |file: &str, input: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.current_dir(dir.path()).env_clear().args(["passwd", file, "bob", "--batch"]);
        let output = command.stdin(input).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = passwd("users", fs::File::open("/dev/zero").unwrap().into());
    assert!(code == Some(1) && err.starts_with("dunlin: the password is longer than the 65,535 bytes"), "{err}");
    let line = || {
        fs::write(dir.path().join("line"), b"caf\xE9\n").unwrap();
        Stdio::from(fs::File::open(dir.path().join("line")).unwrap())
    };
    assert_eq!(passwd("users", line()), (Some(0), String::new()));
    // a pipe without a writer: a process that opens it for reading waits
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
    let (code, err) = passwd("fifo", line());
    assert!(code == Some(1) && err.contains("fifo: cannot be read: it is not a regular file"), "{err}");
}

#[test]
fn explain_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "d.toml", "[auth]\nacl_file = 'acl'\n");
    write(
        &dir,
        "acl",
        "topic read open/#\nuser bob\ntopic write b/#\ntopic deny b/no\ntopic read r/+\npattern c/%c/#\n",
    );
    // the pattern asks for it
    let (code, _, err) = dunlin(&dir, &[], &["explain", "-c", "d.toml", "publish", "open/x"], "");
    assert!(code == Some(1) && err.contains("give --client ID: the pattern at acl:6 has %c"), "{err}");
    let explain = |user: Option<&str>, client: &str, action: &str, topic: &str| {
        let mut args = vec!["explain", "-c", "d.toml", "--client", client];
        args.extend(user.iter().flat_map(|user| ["--user", user]));
        args.extend([action, topic]);
        dunlin(&dir, &[], &args, "")
    };
    for (user, client, action, topic, code, answer) in [
        (None, "c", "subscribe", "open/x", 0, "allowed: acl:1: read open/#"),
        (None, "c", "publish", "open/x", 1, "denied: acl: no rule allows it"),
        (Some("bob"), "c", "publish", "b/x", 0, "allowed: acl:3: write b/#"),
        (Some("bob"), "c", "publish", "b/no", 1, "denied: acl:4: deny b/no"),
        (Some("bob"), "c", "publish", "c/c/x", 0, "allowed: acl:6: readwrite c/c/#"),
        (
            Some("bob"),
            "+",
            "publish",
            "c/c/x",
            1,
            "denied: acl: there are patterns, and the client identifier has + or #",
        ),
        (Some("bob"), "c", "subscribe", "b/no", 1, "denied: acl:4: deny b/no"),
        (Some("bob"), "c", "subscribe", "b/#", 1, "denied: no message would be delivered: acl: no rule allows to read"),
        (
            Some("bob"),
            "c",
            "subscribe",
            "#",
            0,
            "allowed: the subscription is granted, and these rules apply to each message",
        ),
        (Some("bob"), "c", "subscribe", "$share/g/b/no", 1, "denied: acl:4: deny b/no"),
        (None, "c", "subscribe", "$share/g/open/x", 0, "allowed: acl:1: read open/#"),
        (Some("eve"), "c", "subscribe", "r/x", 1, "denied: acl: no rule allows it"),
        (Some("bob"), "c", "publish", "a/#", 1, "denied: no client can publish to \"a/#\""),
        (Some("bob"), "c", "subscribe", "a#", 1, "denied: no client can subscribe to \"a#\""),
        (Some("bob"), "c", "publish", "$SYS/x", 1, "denied: sys.client_publish"),
    ] {
        let (got, out, err) = explain(user, client, action, topic);
        assert_eq!((got, err.as_str()), (Some(code), ""), "{user:?} {client} {action} {topic}: {out}");
        assert!(out.starts_with(answer), "{user:?} {client} {action} {topic}: {out}");
    }
    let (_, out, _) = explain(Some("bob"), "c", "subscribe", "#");
    assert!(out.contains("\n  acl:4: deny b/no\n  acl:5: read r/+\n  acl:6: readwrite c/c/#\n"), "{out}");
    // without rules
    let (code, out, _) = dunlin(&dir, &[], &["explain", "publish", "t"], "");
    assert_eq!((code, out.starts_with("allowed: there are no rules")), (Some(0), true), "{out}");
    // the flag goes over the variable wherever it stands
    write(&dir, "other.toml", "");
    for args in [["--config=d.toml", "explain"], ["explain", "--config=d.toml"]] {
        let args = [&args[..], &["--client", "c", "publish", "open/x"]].concat();
        let (code, out, _) = dunlin(&dir, &[("DUNLIN_CONFIG", "other.toml")], &args, "");
        assert_eq!((code, out.as_str()), (Some(1), "denied: acl: no rule allows it\n"));
    }
}

#[test]
fn users_without_a_password_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[auth]\npassword_file = 'users'\nacl_file = 'acl'\n[http]\nlisten = 'off'\nusers = ['zoe:admin', 'bob:viewer']\n";
    write(&dir, "d.toml", text);
    write(&dir, "acl", "user bob\ntopic read open/#\n");
    let (code, _, err) = dunlin(&dir, &[], &["passwd", "--batch", "users", "bob"], "secret\n");
    assert_eq!(code, Some(0), "{err}");
    let warning =
        "http.users: user \"zoe\" is not in auth.password_file and cannot log in; dunlin passwd users \"zoe\" adds it";
    let (code, out, err) = dunlin(&dir, &[], &["--check", "-c", "d.toml"], "");
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(&format!("warning:       {warning}\n")) && !out.contains("\"bob\""), "{out}");
    let explain = |user| dunlin(&dir, &[], &["explain", "-c", "d.toml", "--user", user, "subscribe", "open/x"], "");
    let (code, out, err) = explain("zoe");
    assert_eq!((code, out.as_str()), (Some(1), "denied: acl: no rule allows it\n"));
    assert_eq!(err, "warning: user \"zoe\" is not in auth.password_file and cannot log in\n");
    assert_eq!(explain("bob").2, "");
    // a token may have any name
    write(&dir, "d.toml", &format!("{}token_secret_file = 'key'\n", "[auth]\npassword_file = 'users'\n"));
    write(&dir, "key", "0123456789abcdef0123456789abcdef");
    assert_eq!(explain("zoe").2, "");
}

#[test]
fn check_reads_the_files_too() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "d.toml", "[auth]\npassword_file = 'users'\nacl_file = 'acl'\ntoken_secret = '${TOKEN_SECRET}'\n");
    let secret = "0123456789abcdef0123456789abcdef";
    let check = |variables: &[(&str, &str)]| dunlin(&dir, variables, &["--check", "--config", "d.toml"], "");
    let good = [("TOKEN_SECRET", secret)];
    let wrong = |said: &str, variables: &[(&str, &str)]| {
        let (code, out, err) = check(variables);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.starts_with(said) && !err.contains(secret), "{err}");
    };
    wrong("dunlin: d.toml:4: auth.token_secret: environment variable TOKEN_SECRET is not set\n", &[]);
    wrong(
        "dunlin: d.toml:4: auth.token_secret: the text is empty, because its variables are;",
        &[("TOKEN_SECRET", "")],
    );
    wrong("dunlin: auth.password_file = users: cannot be read: No such file", &good);
    write(&dir, "users", "bob:$6$AAAA\n");
    wrong("dunlin: users:1: user \"bob\": the hash ends where its hash should be\n", &good);
    write(&dir, "users", "# nobody\n");
    wrong("dunlin: auth.acl_file = acl: cannot be read: No such file", &good);
    write(&dir, "acl", "\ntopic raed a\n");
    wrong("dunlin: acl:2: \"read\", \"write\", \"readwrite\" or \"deny\" is expected in front of the topic", &good);
    write(&dir, "acl", "pattern read a\n");
    wrong("dunlin: auth.token_secret: a secret of 5 bytes", &[("TOKEN_SECRET", "short")]);
    let (code, out, err) = check(&good);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("warning:       acl:1: the pattern \"a\" has neither %c nor %u"), "{out}");
    assert!(!out.contains("may read it") && !out.contains(secret), "{out}");
    fs::set_permissions(dir.path().join("users"), fs::Permissions::from_mode(0o644)).unwrap();
    let (_, out, _) = check(&good);
    assert!(
        out.contains("warning:       auth.password_file = users: everybody on this machine may read it (mode 0644)"),
        "{out}"
    );
    fs::set_permissions(dir.path().join("users"), fs::Permissions::from_mode(0o662)).unwrap();
    let (_, out, _) = check(&good);
    assert!(out.contains("users: everybody on this machine may write it (mode 0662)"), "{out}");
}

#[test]
fn a_secret_in_a_configuration_that_others_may_read_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    let check = |token_secret: &str, mode: u32| {
        write(&dir, "d.toml", &format!("workers = 1\n[auth]\ntoken_secret = '{token_secret}'\n"));
        fs::set_permissions(dir.path().join("d.toml"), fs::Permissions::from_mode(mode)).unwrap();
        let (code, out, err) = dunlin(&dir, &[("TOKEN_SECRET", secret)], &["--check", "--config", "d.toml"], "");
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(!out.contains(secret), "{out}");
        let warnings = out.lines().filter_map(|line| line.strip_prefix("warning:       "));
        warnings.map(str::to_owned).collect::<Vec<_>>()
    };
    for mode in [0o644, 0o640, 0o604] {
        let said = format!(
            "d.toml:3: auth.token_secret: others may read this secret (mode {mode:04o}); chmod 600 d.toml, or write \
             \"${{NAME}}\" and set that environment variable, or use auth.token_secret_file"
        );
        assert_eq!(check(secret, mode), [said]);
    }
    for (token_secret, mode) in [(secret, 0o600), ("${TOKEN_SECRET}", 0o644), ("", 0o644)] {
        assert_eq!(check(token_secret, mode), [""; 0], "{token_secret:?} {mode:o}");
    }
}

#[test]
fn secrets_of_a_key_set_must_be_long_and_private() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "d.toml", "[auth]\ntoken_jwks_file = 'jwks'\n");
    let check = || dunlin(&dir, &[], &["--check", "--config", "d.toml"], "");
    let keys = |secret: &str| format!("{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"a\", \"k\": {secret:?}}}]}}");
    write(&dir, "jwks", &keys("c2hvcnQ"));
    let (code, _, err) = check();
    assert_eq!(code, Some(1));
    assert!(err.starts_with("dunlin: auth.token_jwks_file: jwks: the key \"a\": a secret of 5 bytes; HS256"), "{err}");
    write(&dir, "jwks", &keys(&"A".repeat(43)));
    fs::set_permissions(dir.path().join("jwks"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, out, _) = check();
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("auth.token_jwks_file = jwks: everybody on this machine may read it (mode 0644)"), "{out}");
}
