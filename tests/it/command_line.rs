//! The binary from outside: its output, its exit codes, and `--check` and `--print-config`, which change nothing. Each
//! process is waited for; its environment is empty but for variables of the test.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::Command,
};

use tempfile::TempDir;

use crate::support::command::{refused, text, told};

fn dir_with(file: &str, text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(file), text).unwrap();
    dir
}

#[test]
fn check_of_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let summary = told(dir.path(), &[], &["--check"]);
    for line in ["configuration: no file", "listen:        [::1]:1883", "limits:        all have their defaults"] {
        assert!(summary.lines().any(|l| l == line), "{line} is not in\n{summary}");
    }
}

#[test]
fn check_of_a_valid_file_binds_and_writes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = dir_with("a.toml", &format!("ready_file = 'ready'\n[[listener]]\naddress = '{address}'\n"));
    let summary = told(dir.path(), &[], &["--check", "--config", "a.toml"]);
    assert!(summary.contains("configuration: a.toml\n") && summary.contains(&address), "{summary}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.toml"]);
}

#[test]
fn check_of_an_invalid_file_is_one_line_and_exit_code_1() {
    let dir = dir_with("dunlin.toml", "# mine\n[limits]\nmax_conections = 5\n");
    let line = refused(dir.path(), &[], &["--check", "--config", "dunlin.toml"], 1);
    let expected =
        "dunlin: dunlin.toml:3: unknown key \"max_conections\" in [limits]; did you mean \"max_connections\"?\n";
    assert_eq!(line, expected);
    assert_eq!(refused(dir.path(), &[], &["--config", "dunlin.toml"], 1), expected, "without --check too");
}

#[test]
fn check_reports_every_error() {
    let dir = dir_with(
        "a.toml",
        "worker = 3\nready_file = 'none/ready'\ndata_dir = 'file'\n[limits]\nmax_connections = 0\n\
         [[listener]]\naddress = '0.0.0.0:1883'\n[[listener]]\naddress = '127.0.0.1:1883'\n\
         [[listener]]\naddress = 'unix:gone/s'\n[[listener]]\naddress = 'unix:file'\n[[listener]]\nadress = '1'\n\
         [[listener]]\naddress = 'tls://127.0.0.1'\ncertificate_file = 'c'\nkey_file = 'k'\n\
         [auth]\npassword_file = 'passwords'\nacl_file = 'acl'\n",
    );
    fs::write(dir.path().join("file"), "").unwrap();
    let lines = refused(dir.path(), &[], &["--check", "-c", "a.toml"], 1);
    let expected = [
        "a.toml:1: unknown key \"worker\"",
        "a.toml:5: limits.max_connections: 0 is out of range",
        "a.toml:15: unknown key \"adress\"",
        "cannot listen on unix:gone/s: gone: No such file or directory",
        "cannot listen on unix:file: there is a file that is not a socket",
        "cannot listen on 127.0.0.1:8883: cannot read c: ",
        "cannot listen on both 0.0.0.0:1883 and 127.0.0.1:1883: the first has that address too; remove one",
        "auth.password_file = passwords: cannot be read",
        "auth.acl_file = acl: cannot be read",
        "cannot write the ready file none/ready: none: No such file or directory",
        "cannot keep anything in data_dir file: file is not a directory",
    ];
    for expected in expected {
        assert!(lines.contains(expected), "{expected} is not in\n{lines}");
    }
    assert_eq!(lines.lines().count(), expected.len(), "{lines}");
    let lines = refused(dir.path(), &[], &["--check", "-c", "a.toml", "--log-format=json"], 1);
    assert!(lines.lines().count() == expected.len() && lines.lines().all(|line| line.starts_with('{')), "{lines}");
}

#[test]
fn check_prints_access_and_threads_and_warns_of_a_missing_address() {
    // 192.0.2.0/24 is for documentation: no machine has such an address
    let dir = dir_with("a.toml", "data_dir = 'new/data'\n[[listener]]\naddress = '192.0.2.7:1883'\n");
    let summary = told(dir.path(), &[], &["--check", "-c", "a.toml"]);
    let uid = Command::new("id").arg("-u").output().expect("id runs").stdout;
    let uid = format!("uid {}", text(&uid).trim());
    let cpus = std::thread::available_parallelism().unwrap().get();
    let workers = format!("workers:       {} (auto", (cpus - 1).max(1));
    let warning = "warning:       cannot listen on 192.0.2.7:1883 as long as this machine does not have this address";
    for expected in ["checked as:    ", &uid, &workers, warning] {
        assert!(summary.contains(expected), "{expected} is not in\n{summary}");
    }
    assert!(!dir.path().join("new").exists());
    let file = "[[listener]]\naddress = '192.0.2.7:1883'\nfreebind = true\n";
    fs::write(dir.path().join("a.toml"), file).unwrap();
    assert!(!told(dir.path(), &[], &["--check", "-c", "a.toml"]).contains("warning:"));
}

#[test]
fn check_of_a_directory_that_may_not_be_written_names_the_user() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().current_dir("/").args(["--check", "--data-dir=/dunlin.data", "--ready-file=dunlin.ready"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // to root everything is allowed
        command.uid(65_534);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (lines, denied) = (text(&output.stderr), "Permission denied (os error 13), as ");
    for expected in
        ["cannot keep anything in data_dir /dunlin.data: /: ", "cannot write the ready file dunlin.ready: .: "]
    {
        assert!(lines.contains(&format!("{expected}{denied}")) && lines.contains("uid "), "{lines}");
    }
}

#[test]
fn relative_paths_are_beside_their_file_and_those_of_flags_in_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("etc/dunlin.d")).unwrap();
    let file = "ready_file = 'ready'\n[[listener]]\naddress = 'unix:sock'\n[auth]\nacl_file = 'acl'\n";
    fs::write(dir.path().join("etc/dunlin.toml"), file).unwrap();
    fs::write(dir.path().join("etc/dunlin.d/a.toml"), "[auth]\npassword_file = 'passwords'\n").unwrap();
    fs::write(dir.path().join("etc/acl"), "topic #\n").unwrap();
    fs::write(dir.path().join("etc/dunlin.d/passwords"), "# nobody\n").unwrap();
    let summary = told(dir.path(), &[], &["--check", "-c", "etc/dunlin.toml"]);
    for expected in ["unix:etc/sock", "\"etc/ready\"", "\"etc/acl\"", "\"etc/dunlin.d/passwords\""] {
        assert!(summary.contains(expected), "{expected} is not in\n{summary}");
    }
    let by_flag = ["--check", "-c", "etc/dunlin.toml", "--ready-file", "ready"];
    assert!(told(dir.path(), &[], &by_flag).contains("ready_file = \"ready\""));
}

#[test]
fn drop_in_files_are_read_by_name_and_check_names_the_origins() {
    let dir =
        dir_with("dunlin.toml", "workers = 2\n[limits]\nmax_sessions = 5\n[[listener]]\naddress = '127.0.0.1:1'\n");
    let drop_ins = dir.path().join("dunlin.d");
    fs::create_dir(&drop_ins).unwrap();
    for (name, text) in [
        ("20-b.toml", "workers = 4\n"),
        ("10-a.toml", "workers = 3\n[limits]\nmax_sessions = 6\n[[listener]]\naddress = '127.0.0.1:2'\n"),
        ("c.toml.old", "workers = 9\n"),
        (".hidden.toml", "workers = 9\n"),
    ] {
        fs::write(drop_ins.join(name), text).unwrap();
    }
    let flags = ["--check", "-c", "dunlin.toml", "--log-level=debug"];
    let summary = told(dir.path(), &[], &flags);
    for expected in [
        "listen:        127.0.0.1:1\nlisten:        127.0.0.1:2\n",
        "workers:       4\n",
        "from:          dunlin.d/10-a.toml: limits.max_sessions, listener\n",
        "from:          dunlin.d/20-b.toml: workers\n",
        "from:          flags: log.level\n",
        "limits.max_sessions = 6 ",
    ] {
        assert!(summary.contains(expected), "{expected} is not in\n{summary}");
    }
    fs::write(drop_ins.join("30.toml"), "\nworker = 1\n").unwrap();
    let line = refused(dir.path(), &[], &flags, 1);
    assert_eq!(line, "dunlin: dunlin.d/30.toml:2: unknown key \"worker\"; did you mean \"workers\"?\n");
}

#[test]
fn a_store_in_the_earlier_place_prevents_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["etc", "data"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("data/0000000000000001.log"), "").unwrap();
    fs::write(dir.path().join("etc/a.toml"), "data_dir = 'data'\nlistener = [{ address = '127.0.0.1:0' }]\n").unwrap();
    let old = dir.path().canonicalize().unwrap().join("data");
    for flags in [&["-c", "etc/a.toml", "--log-level=error"][..], &["-c", "etc/a.toml", "--check"]] {
        let line = refused(dir.path(), &[], flags, 1);
        let names = line.contains("data_dir is etc/data ") && line.contains(&format!("and {} ", old.display()));
        assert!(names && line.lines().count() == 1, "{line}");
    }
    assert!(!dir.path().join("etc/data").exists());
    fs::create_dir(dir.path().join("etc/data")).unwrap();
    fs::write(dir.path().join("etc/data/0000000000000001.log"), "").unwrap();
    told(dir.path(), &[], &["-c", "etc/a.toml", "--check"]);
}

#[test]
fn configurations_in_other_formats_are_recognised() {
    for (text, expected) in [("{\"workers\": 1}", "a.toml: this is JSON;"), ("workers: 1\n", "a.toml: this is YAML;")] {
        let dir = dir_with("a.toml", text);
        let line = refused(dir.path(), &[], &["-c", "a.toml"], 1);
        assert!(line.starts_with(&format!("dunlin: {expected}")) && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn a_missing_configuration_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let expected = "dunlin: no.toml: cannot read the configuration: No such file or directory (os error 2)\n";
    assert_eq!(refused(dir.path(), &[("DUNLIN_CONFIG", "no.toml")], &[], 1), expected);
}

#[test]
fn the_printed_configuration_is_valid_and_equals_the_one_in_the_repository() {
    let dir = tempfile::tempdir().unwrap();
    let printed = told(dir.path(), &[], &["--print-config"]);
    assert_eq!(printed, include_str!("../../config/dunlin.toml"));
    fs::write(dir.path().join("printed.toml"), printed).unwrap();
    let summary = told(dir.path(), &[], &["--check", "--config=printed.toml"]);
    let defaults = told(dir.path(), &[], &["--check"]).replace("no file", "printed.toml");
    assert_eq!(summary, defaults);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn every_variable_is_as_its_flag() {
    let dir = dir_with("a.toml", "[limits]\nmax_connections = 7\n");
    let flags = [
        "--listen=127.0.0.1:1",
        "--listen=[::1]:0",
        "--config=a.toml",
        "--ready-file=r",
        "--log-level=debug",
        "--log-format=json",
        "--allow-anonymous",
        "--workers=3",
        "--check",
    ];
    let variables = [
        ("DUNLIN_LISTEN", "127.0.0.1:1,[::1]:0"),
        ("DUNLIN_CONFIG", "a.toml"),
        ("DUNLIN_READY_FILE", "r"),
        ("DUNLIN_LOG_LEVEL", "debug"),
        ("DUNLIN_LOG_FORMAT", "json"),
        ("DUNLIN_ALLOW_ANONYMOUS", "1"),
        ("DUNLIN_WORKERS", "3"),
        ("DUNLIN_CHECK", "true"),
    ];
    let by_flags = told(dir.path(), &[], &flags);
    // all but what set it
    let values =
        |summary: &str| summary.lines().filter(|line| !line.starts_with("from:")).collect::<Vec<_>>().join("\n");
    assert_eq!(values(&told(dir.path(), &variables, &[])), values(&by_flags));
    for told in
        ["[::1]:0 (a free port)", "on every listener", "workers:       3", "\"json\"", "\"debug\"", "\"r\"", "= 7"]
    {
        assert!(by_flags.contains(told), "{told} is not in\n{by_flags}");
    }
    assert_eq!(told(dir.path(), &[("DUNLIN_PRINT_CONFIG", "yes")], &[]), told(dir.path(), &[], &["--print-config"]));
}

#[test]
fn a_flag_overrides_its_variable_which_overrides_the_file() {
    let dir = dir_with("a.toml", "workers = 2\nallow_anonymous = true\n");
    let file = ["--config=a.toml", "--check"];
    let flag = ["--config=a.toml", "--check", "--workers=4"];
    let variables = [("DUNLIN_WORKERS", "3"), ("DUNLIN_ALLOW_ANONYMOUS", "false")];
    assert!(told(dir.path(), &[], &file).contains("workers:       2\n"));
    let over_file = told(dir.path(), &variables, &file);
    assert!(over_file.contains("workers:       3\n") && over_file.contains("refused on every listener"), "{over_file}");
    assert!(told(dir.path(), &variables, &flag).contains("workers:       4\n"));
}

/// A listener's own setting overrides the global one, and the output says so.
#[test]
fn check_names_listeners_with_their_own_allow_anonymous() {
    let text = "allow_anonymous = true\n[[listener]]\naddress = '127.0.0.1:0'\nallow_anonymous = true\n\
                [[listener]]\naddress = '[::1]:0'\n";
    let dir = dir_with("a.toml", text);
    std::fs::write(dir.path().join("secret"), "x\n").unwrap();
    let file = ["--config=a.toml", "--check"];
    let user = [("DUNLIN_USER", "a"), ("DUNLIN_USER_PASSWORD_FILE", "secret")];
    let own = "; but served on 127.0.0.1:0, by its own allow_anonymous = true\n";
    for variables in [&user[..], &[("DUNLIN_ALLOW_ANONYMOUS", "false")]] {
        let told = told(dir.path(), variables, &file);
        assert!(told.contains("anonymous:     refused on every listener") && told.contains(own), "{told}");
    }
    assert!(!told(dir.path(), &[], &file).contains("; but"));
    std::fs::write(
        dir.path().join("a.toml"),
        text.replacen("= true\n[[listener]]\naddress = '[", "= false\n[[listener]]\naddress = '[", 1),
    )
    .unwrap();
    let refused = told(dir.path(), &[], &file);
    let but = "served on every listener; but refused on 127.0.0.1:0, by its own allow_anonymous = false\n";
    assert!(refused.contains(but), "{refused}");
}

#[test]
fn an_empty_variable_is_unset() {
    let dir = tempfile::tempdir().unwrap();
    let names =
        ["LISTEN", "CONFIG", "READY_FILE", "LOG_LEVEL", "LOG_FORMAT", "ALLOW_ANONYMOUS", "WORKERS", "PRINT_CONFIG"];
    let names: Vec<_> = names.iter().map(|name| format!("DUNLIN_{name}")).collect();
    let variables: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(told(dir.path(), &variables, &["--check"]), told(dir.path(), &[], &["--check"]));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(dir.path(), &[], &["--lissen", "1883"], 2).contains("--listen"));
    assert!(refused(dir.path(), &[], &["extra"], 2).contains("extra"));
    assert!(refused(dir.path(), &[("DUNLIN_WORKERS", "0")], &["--check"], 2).contains("allowed: 1 to 1024"));
    assert!(refused(dir.path(), &[("DUNLIN_ALLOW_ANONYMOUS", "flase")], &["--check"], 2).contains("flase"));
}

#[test]
fn a_wrong_value_names_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    let of = |variables: &[(&str, &str)], flags: &[&str]| refused(dir.path(), variables, flags, 2);
    for (variable, value) in [
        ("DUNLIN_WORKERS", "0"),
        ("DUNLIN_LISTEN", "http://x"),
        ("DUNLIN_LOG_LEVEL", "loud"),
        ("DUNLIN_ALLOW_ANONYMOUS", "flase"),
        ("DUNLIN_CHECK", "perhaps"),
    ] {
        let error = of(&[(variable, value)], &[]);
        assert!(error.starts_with(&format!("error: invalid value '{value}' for '{variable} (--")), "{error}");
    }
    // the flag goes over the variable, and it is the one that is wrong
    assert!(!of(&[("DUNLIN_WORKERS", "3")], &["--workers=0"]).contains("DUNLIN_WORKERS"));
}

#[test]
fn an_unknown_variable_is_a_warning_unless_kubernetes_sets_it() {
    let dir = dir_with("a.toml", "[auth]\ntoken_issuer = '${DUNLIN_ISSUER}'\n");
    let silent = [
        ("DUNLIN_PORT", "tcp://10.0.0.1:1883"),
        ("DUNLIN_PORT_1883_TCP_ADDR", "10.0.0.1"),
        ("DUNLIN_SERVICE_HOST", "10.0.0.1"),
        ("DUNLIN_SERVICE_PORT_MQTT", "1883"),
        ("DUNLIN_ISSUER", "me"),
    ];
    let flags = ["-c", "a.toml", "--check"];
    let summary = told(dir.path(), &silent, &flags);
    assert!(!summary.contains("warning:"), "{summary}");
    let summary = told(dir.path(), &[&silent[..], &[("DUNLIN_WORKRES", "3")]].concat(), &flags);
    let warning = "warning:       the environment variable DUNLIN_WORKRES is not read; did you mean DUNLIN_WORKERS?\n";
    assert!(summary.contains(warning), "{summary}");
}

#[test]
fn a_file_for_the_secrets_of_tls_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let summary = told(dir.path(), &[], &["--tls-keylog", "secrets", "--check"]);
    assert!(summary.contains("warning:       --tls-keylog (DUNLIN_TLS_KEYLOG): no listener has TLS"), "{summary}");
    told(dir.path(), &[], &["certs", "--dir", ".", "--host", "localhost"]);
    let flags = ["--listen", "tls://127.0.0.1:0", "--certificate", "server.pem", "--key", "server.key"];
    let summary = told(dir.path(), &[], &[&flags[..], &["--tls-keylog", "secrets", "--check"]].concat());
    assert!(summary.contains("warning:       the secrets of TLS connections are written to secrets"), "{summary}");
}

#[test]
fn help_names_every_flag_and_variable() {
    let dir = tempfile::tempdir().unwrap();
    let help = told(dir.path(), &[], &["--help"]);
    for name in [
        "listen",
        "config",
        "ready-file",
        "log-level",
        "log-format",
        "check",
        "print-config",
        "allow-anonymous",
        "workers",
    ] {
        let variable = format!("DUNLIN_{}", name.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{name}")) && help.contains(&variable), "{name} is not in\n{help}");
    }
    assert_eq!(told(dir.path(), &[], &["--version"]), concat!("dunlin ", env!("CARGO_PKG_VERSION"), "\n"));
}
