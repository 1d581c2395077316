//! The container: its configuration `config/container/dunlin.toml`, variables that override it, and the image of the
//! Dockerfile.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{
    namespace::{As, alone, ran},
    raw::{self, Client, Connect},
    running::Running,
};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The broker with the image's own configuration and these variables, on a free port, with a `data_dir` in `dir`.
fn run(dir: &TempDir, variables: &[(&str, &str)]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().args(["--config", repository().join("config/container/dunlin.toml").to_str().unwrap()]);
    command.env("DUNLIN_LISTEN", "0.0.0.0:0").env("DUNLIN_DATA_DIR", dir.path().join("data"));
    Running::run(command.envs(variables.iter().copied()))
}

fn started(dir: &TempDir, variables: &[(&str, &str)]) -> Running {
    let mut running = run(dir, variables);
    running.wait_until_ready();
    running
}

/// The code of the CONNACK; `login` is a user name and a password.
fn connack(running: &Running, login: Option<(&str, &str)>) -> u8 {
    connack_of(([127, 0, 0, 1], running.addresses[0].port()).into(), login)
}

fn connack_of(address: SocketAddr, login: Option<(&str, &str)>) -> u8 {
    let (mut client, connect) = (Client::open(address), Connect::new("c"));
    client.send(&login.into_iter().fold(connect, |connect, (user, password)| connect.user(user, password)).frame());
    client.expect_any().bytes()[3]
}

fn secret(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("secret");
    fs::write(&path, text).unwrap();
    path
}

// ---- logins ----

#[test]
fn the_log_names_a_listener_with_its_own_allow_anonymous() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("dunlin.toml");
    fs::write(&config, "[[listener]]\naddress = '127.0.0.1:0'\nallow_anonymous = true\n").unwrap();
    let path = secret(&dir, "x\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.env_clear().env("DUNLIN_USER", "alice").env("DUNLIN_USER_PASSWORD_FILE", path);
    let mut running = Running::run(command.arg("--config").arg(config));
    running.wait_until_ready();
    assert_eq!(connack(&running, None), 0);
    let line = "anonymous clients are served on this listener: its allow_anonymous = true listener=";
    assert!(running.read.iter().any(|read| read.contains(line)), "{:#?}", running.read);
}

#[test]
fn a_login_by_variables_turns_anonymous_access_of_the_image_off() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(connack(&started(&dir, &[]), None), 0);

    let path = secret(&dir, "correct horse\n");
    let alice = [("DUNLIN_USER", "alice"), ("DUNLIN_USER_PASSWORD_FILE", path.to_str().unwrap())];
    let mut running = started(&dir, &alice);
    assert_eq!(connack(&running, None), 5);
    assert_eq!(connack(&running, Some(("alice", "correct horse"))), 0);
    assert_eq!(connack(&running, Some(("alice", "correct horse\n"))), 4);
    assert_eq!(connack(&running, Some(("bob", "correct horse"))), 4);
    let line = "anonymous clients are refused although allow_anonymous = true: a variable configures a login \
                (DUNLIN_ALLOW_ANONYMOUS=true serves them) variable=DUNLIN_USER";
    assert!(running.read.iter().any(|read| read.contains("INFO") && read.ends_with(line)), "{:#?}", running.read);
    for line in ["wrong password (DUNLIN_USER_PASSWORD_FILE)", "no such user (DUNLIN_USER)"] {
        running.wait_for(line);
    }
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    assert!(!running.read.iter().any(|read| read.contains("horse") || read.contains("WARN")), "{:#?}", running.read);

    let running = started(&dir, &[&alice[..], &[("DUNLIN_ALLOW_ANONYMOUS", "true")]].concat());
    assert_eq!(connack(&running, None), 0);
    assert_eq!(connack(&running, Some(("alice", "correct horse"))), 0);
    assert_eq!(connack(&running, Some(("alice", "wrong"))), 4);
}

#[test]
fn every_other_login_by_a_variable_refuses_anonymous_clients_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = secret(&dir, "0123456789abcdef0123456789abcdef");
    let users = dir.path().join("users");
    dunlin::auth::edit(&users, "bob", dunlin::auth::PasswordChange::Set(b"his")).unwrap();
    for (variable, value) in [
        ("DUNLIN_AUTH_PASSWORD_FILE", users.to_str().unwrap()),
        ("DUNLIN_AUTH_TOKEN_SECRET", "0123456789abcdef0123456789abcdef"),
        ("DUNLIN_AUTH_TOKEN_SECRET_FILE", path.to_str().unwrap()),
    ] {
        let running = started(&dir, &[(variable, value)]);
        let said = "anonymous clients are refused although allow_anonymous = true";
        assert!(
            running.read.iter().any(|read| read.contains(said) && read.ends_with(&format!("variable={variable}"))),
            "{:#?}",
            running.read
        );
        assert_eq!(connack(&running, None), 5, "{variable}");
        drop(running);
        let running = started(&dir, &[(variable, value), ("DUNLIN_ALLOW_ANONYMOUS", "true")]);
        assert_eq!(connack(&running, None), 0, "{variable}");
    }
    // rules alone are no login
    fs::write(&path, "topic #\n").unwrap();
    assert_eq!(connack(&started(&dir, &[("DUNLIN_AUTH_ACL_FILE", path.to_str().unwrap())]), None), 0);
}

#[test]
fn a_user_from_variables_is_added_to_those_of_the_password_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, users) = (secret(&dir, "hers"), dir.path().join("users"));
    dunlin::auth::edit(&users, "bob", dunlin::auth::PasswordChange::Set(b"his")).unwrap();
    let running = started(
        &dir,
        &[
            ("DUNLIN_AUTH_PASSWORD_FILE", users.to_str().unwrap()),
            ("DUNLIN_USER", "alice"),
            ("DUNLIN_USER_PASSWORD_FILE", path.to_str().unwrap()),
        ],
    );
    let codes = [("alice", "hers"), ("bob", "his"), ("bob", "hers")].map(|login| connack(&running, Some(login)));
    assert_eq!(codes, [0, 0, 4]);
}

#[test]
fn a_reload_reads_the_variable_s_password_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, acl) = (secret(&dir, "first"), dir.path().join("acl"));
    fs::write(&acl, "user alice\ntopic #\n").unwrap();
    let mut running = started(
        &dir,
        &[
            ("DUNLIN_AUTH_ACL_FILE", acl.to_str().unwrap()),
            ("DUNLIN_USER", "alice"),
            ("DUNLIN_USER_PASSWORD_FILE", path.to_str().unwrap()),
        ],
    );
    let mut client = Client::open(([127, 0, 0, 1], running.addresses[0].port()).into());
    client.send(&Connect::new("kept").user("alice", "first").frame());
    client.expect(&raw::connack(0, 0));
    // other rules are another policy, in which she has the same password
    fs::write(&acl, "user alice\ntopic a/#\n").unwrap();
    running.signal("HUP");
    running.wait_for("read again changed=\"rules (auth.acl_file)\"");
    client.expect_nothing_pending();

    fs::write(&path, "second").unwrap();
    running.signal("HUP");
    running.wait_for("read again changed=\"users (DUNLIN_USER_PASSWORD_FILE)\"");
    client.expect_closed();
    assert_eq!(connack(&running, Some(("alice", "first"))), 4);
    assert_eq!(connack(&running, Some(("alice", "second"))), 0);
}

#[test]
fn invalid_variables_of_a_user_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = secret(&dir, "\nsecond line");
    let (file, none) = (path.to_str().unwrap(), dir.path().join("none"));
    for (variables, said) in [
        (&[("DUNLIN_USER", "alice")][..], "DUNLIN_USER: DUNLIN_USER_PASSWORD_FILE is missing: a file whose first"),
        (&[("DUNLIN_USER_PASSWORD_FILE", file)], "DUNLIN_USER_PASSWORD_FILE: DUNLIN_USER is missing"),
        (&[("DUNLIN_USER", "a"), ("DUNLIN_USER_PASSWORD_FILE", file)], "is empty; write the password there"),
        (
            &[("DUNLIN_USER", "a:b"), ("DUNLIN_USER_PASSWORD_FILE", file)],
            "DUNLIN_USER: the user name \"a:b\" has a colon",
        ),
        (
            &[("DUNLIN_USER", "a"), ("DUNLIN_USER_PASSWORD_FILE", none.to_str().unwrap())],
            "DUNLIN_USER_PASSWORD_FILE = ",
        ),
    ] {
        let mut running = run(&dir, variables);
        assert_eq!(running.exit_code(), Some(1));
        assert!(running.read.len() == 1 && running.read[0].contains(said), "{:?}", running.read);
    }
}

// ---- the image ----

/// What the last stage of the Dockerfile makes, in a directory that becomes the root of what runs in it. What it has
/// from its base image, the C library, is this machine's.
struct Image {
    root: PathBuf,
    instructions: Vec<(String, String)>,
}

impl Image {
    fn build(root: PathBuf) -> Self {
        let image = Self { root, instructions: last_stage() };
        for dir in ["usr/local/bin", "usr/lib", "usr/lib64", "tmp"] {
            fs::create_dir_all(image.root.join(dir)).unwrap();
        }
        for dir in ["lib", "lib64"] {
            symlink(format!("usr/{dir}"), image.root.join(dir)).unwrap();
            let within = image.root.join("usr").join(dir);
            ran(Command::new("mount").args(["--rbind", &format!("/usr/{dir}")]).arg(within));
        }
        image.all("COPY").for_each(|copy| image.copy(copy));
        image
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.instructions.iter().filter(move |(of, _)| of == name).map(|(_, rest)| rest.as_str())
    }

    /// A command in the form of a JSON list, which the last instruction of this name has.
    fn list(&self, name: &str) -> Vec<String> {
        let (_, list) = self.all(name).last().expect(name).split_once('[').expect("a list");
        serde_json::from_str(&format!("[{list}")).unwrap()
    }

    /// COPY from the first stage or from the repository.
    fn copy(&self, copy: &str) {
        let (flags, paths): (Vec<_>, Vec<_>) = copy.split_whitespace().partition(|word| word.starts_with("--"));
        let flag = |name: &str| flags.iter().find_map(|flag| flag.strip_prefix(name));
        let [from, to] = paths[..] else { panic!("COPY {copy}") };
        let to = self.root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        match (flag("--from="), from) {
            (Some("build"), "/dunlin") => _ = fs::copy(env!("CARGO_BIN_EXE_dunlin"), &to).unwrap(),
            (Some("build"), "/data") => fs::create_dir_all(&to).unwrap(),
            (None, from) => _ = fs::copy(repository().join(from), &to).unwrap(),
            _ => panic!("COPY {copy}"),
        }
        if let Some(mode) = flag("--chmod=") {
            fs::set_permissions(&to, fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
        }
        if let Some(owner) = flag("--chown=") {
            self.chown(owner, &to);
        }
    }

    fn chown(&self, owner: &str, path: &Path) {
        ran(Command::new("chown").args([owner]).arg(path));
    }

    /// A file that is mounted there.
    fn mount(&self, path: &str, text: &str) {
        let file = self.root.join("tmp/mounted");
        fs::write(&file, text).unwrap();
        ran(Command::new("mount").arg("--bind").arg(file).arg(self.root.join(path.trim_start_matches('/'))));
    }

    /// A command in it, as its user.
    fn command(&self, words: &[String], variables: &[(&str, &str)]) -> Command {
        let user = self.all("USER").last().expect("USER");
        let mut command = Command::new("chroot");
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin");
        command.envs(self.all("ENV").map(|variable| variable.split_once('=').expect("NAME=VALUE")));
        command.envs(variables.iter().copied());
        command.arg(format!("--userspec={user}")).arg(&self.root).args(words);
        command
    }

    /// `docker run IMAGE ARGS`
    fn run(&self, variables: &[(&str, &str)], args: &[&str]) -> Command {
        let mut words = self.list("ENTRYPOINT");
        match args {
            [] => words.extend(self.list("CMD")),
            args => words.extend(args.iter().map(|arg| (*arg).to_owned())),
        }
        self.command(&words, variables)
    }

    fn started(&self, variables: &[(&str, &str)], args: &[&str]) -> Running {
        let mut running = Running::run(&mut self.run(variables, args));
        running.wait_until_ready();
        running
    }

    /// Does HEALTHCHECK succeed?
    fn is_healthy(&self, variables: &[(&str, &str)]) -> bool {
        self.command(&self.list("HEALTHCHECK"), variables).output().unwrap().status.success()
    }
}

/// The instructions of the image that is built unless another one is named, with their continuation lines.
fn last_stage() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("Dockerfile")).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.split_once(' '));
    let all: Vec<_> = instructions.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect();
    let begins = |stage: &str| all.iter().position(|(name, rest)| name == "FROM" && rest.ends_with(stage));
    assert_eq!(all.last().unwrap(), &("FROM".into(), "runtime".into()));
    all[begins("AS runtime").unwrap()..begins("AS clients").unwrap()].to_vec()
}

/// Runs `test` with the image, as root in a network and a table of mounts of its own.
fn in_the_image(name: &str, test: fn(&Image)) {
    alone(name, As::Root, |dir| test(&Image::build(dir.to_owned())));
}

fn code(port: u16, login: Option<(&str, &str)>) -> u8 {
    connack_of(([127, 0, 0, 1], port).into(), login)
}

#[test]
fn the_image_has_labels_volumes_and_a_user() {
    let image = Image { root: PathBuf::new(), instructions: last_stage() };
    let labels = image.all("LABEL").collect::<String>();
    for label in ["title=\"dunlin\"", "licenses=\"Apache-2.0\"", concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")]
    {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}")), "{label}");
    }
    assert_eq!(image.list("CMD"), [""; 0]);
    let variables: Vec<_> = image.all("ENV").collect();
    assert_eq!(variables, ["DUNLIN_CONFIG=/mosquitto/config/mosquitto.conf:/etc/dunlin/dunlin.toml"]);
    assert_eq!((image.list("ENTRYPOINT"), image.all("ARG").count()), (vec!["dunlin".to_owned()], 0));
    assert_eq!(image.all("USER").collect::<Vec<_>>(), ["1883:1883"]);
    let own = repository().join("config/container/dunlin.toml");
    let config = dunlin::config::load(&own).unwrap();
    let data = config.data_dir.unwrap();
    let expected = format!("{} /mosquitto/data /mosquitto/log", data.display());
    assert_eq!(image.all("VOLUME").collect::<Vec<_>>(), [expected]);
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:1883");
}

#[test]
fn the_image_serves_anonymous_clients_stores_messages_and_is_healthy() {
    in_the_image("container::the_image_serves_anonymous_clients_stores_messages_and_is_healthy", |image| {
        assert!(!image.is_healthy(&[]), "nothing runs");
        let running = image.started(&[], &[]);
        assert_eq!(code(1883, None), 0);
        assert!(image.is_healthy(&[]));
        let owner =
            fs::metadata(image.root.join("data/LOCK")).or_else(|_| fs::metadata(image.root.join("data"))).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (1883, 1883));
        let mut publisher = Client::open(([127, 0, 0, 1], 1883).into());
        publisher.send(&Connect::new("p").frame());
        publisher.expect(&raw::connack(0, 0));
        publisher.publish(raw::Message::new("lamp", "on").qos(1).retain());
        running.stop();

        // a variable goes over the file, for the health check too
        let variables = [("DUNLIN_LISTEN", "0.0.0.0:1884")];
        let running = image.started(&variables, &[]);
        let mut subscriber = Client::open(([127, 0, 0, 1], 1884).into());
        subscriber.send(&Connect::new("s").frame());
        subscriber.expect(&raw::connack(0, 0));
        assert_eq!(subscriber.subscribe_retained(&[("#", 1)], 1)[0].text(), "on");
        assert!(image.is_healthy(&variables) && !image.is_healthy(&[]));
        running.stop();
    });
}

#[test]
fn a_mounted_configuration_replaces_that_of_the_image() {
    in_the_image("container::a_mounted_configuration_replaces_that_of_the_image", |image| {
        image.mount("/etc/dunlin/dunlin.toml", "allow_anonymous = false\n[[listener]]\naddress = '0.0.0.0:1885'\n");
        let running = image.started(&[], &[]);
        assert_eq!(running.addresses[0].port(), 1885);
        assert_eq!(code(1885, None), 5);
        assert!(image.is_healthy(&[]), "it answers");
        running.stop();
    });
}

#[test]
fn commands_and_flags_follow_the_image_s_name() {
    in_the_image("container::commands_and_flags_follow_the_image_s_name", |image| {
        let mut passwd = image.run(&[], &["passwd", "--batch", "/data/users", "alice"]);
        let mut child = passwd.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hers\n").unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
        let running = image.started(&[("DUNLIN_AUTH_PASSWORD_FILE", "/data/users")], &[]);
        assert_eq!((code(1883, None), code(1883, Some(("alice", "hers")))), (5, 0));
        running.stop();

        // another configuration, as earlier versions wanted it to be given
        fs::write(image.root.join("etc/other.toml"), "[[listener]]\naddress = '0.0.0.0:1886'\n").unwrap();
        let running = image.started(&[], &["--config", "/etc/other.toml", "--allow-anonymous"]);
        assert_eq!(code(1886, None), 0);
        running.stop();
    });
}

#[test]
fn the_chart_s_configuration_fits_its_mounts_and_probes() {
    let chart = repository().join("config/helm/dunlin");
    let read = |file: &str| fs::read_to_string(chart.join(file)).unwrap();
    let config = dunlin::config::parse(&read("files/dunlin.toml"), "dunlin.toml").unwrap();
    let (pod, secret, values) =
        (read("templates/statefulset.yaml"), read("templates/secret.yaml"), read("values.yaml"));
    assert!(pod.contains("{name: data, mountPath: /data}") && config.data_dir == Some("/data".into()));
    assert!(pod.contains("{name: secret, mountPath: /etc/dunlin/secret, readOnly: true}"));
    for (key, file) in [("users", &config.auth.password_file), ("rules", &config.auth.acl_file)] {
        assert_eq!(file, &Some(Path::new("/etc/dunlin/secret").join(key)));
        assert!(secret.contains(&format!("\n  {key}: |")), "{key}");
    }
    let port = config.listeners[0].address.to_string();
    assert!(values.contains(&format!("port: {}", port.rsplit(':').next().unwrap())), "{port}");
    let health = config.http.health.0[0].to_string();
    assert!(pod.contains(&format!("containerPort: {}", health.rsplit(':').next().unwrap())), "{health}");
    let versions = read("Chart.yaml");
    assert!(versions.contains(&format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"))), "{versions}");
}

#[test]
fn the_image_replaces_that_of_mosquitto() {
    in_the_image("container::the_image_replaces_that_of_mosquitto", |image| {
        // the command that compose files of mosquitto's image give
        for command in ["mosquitto", "/usr/sbin/mosquitto"] {
            let running = image.started(&[], &[command, "-c", "/mosquitto-no-auth.conf", "-v"]);
            assert_eq!(code(1883, None), 0);
            running.stop();
        }
        // a mosquitto.conf that is mounted is read, with its volumes
        let conf = "listener 1884\nallow_anonymous true\npersistence true\npersistence_location /mosquitto/data/\n\
                    log_dest file /mosquitto/log/mosquitto.log\nlog_dest stderr\n";
        fs::write(image.root.join("mosquitto/config/mosquitto.conf"), conf).unwrap();
        let running = image.started(&[], &[]);
        let mut publisher = Client::open(([127, 0, 0, 1], 1884).into());
        publisher.send(&Connect::new("p").frame());
        publisher.expect(&raw::connack(0, 0));
        publisher.publish(raw::Message::new("lamp", "on").qos(1).retain());
        assert!(image.is_healthy(&[]));
        running.stop();
        let log = fs::read_to_string(image.root.join("mosquitto/log/mosquitto.log")).unwrap();
        assert!(log.contains("INFO"), "{log}");
        let running = image.started(&[], &["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]);
        let mut subscriber = Client::open(([127, 0, 0, 1], 1884).into());
        subscriber.send(&Connect::new("s").frame());
        subscriber.expect(&raw::connack(0, 0));
        assert_eq!(subscriber.subscribe_retained(&[("#", 1)], 1)[0].text(), "on");
        running.stop();
        assert!(image.root.join("mosquitto/data/dunlin").is_dir());
    });
}

#[test]
fn a_volume_of_another_user_is_reported_with_the_chown_command() {
    in_the_image("container::a_volume_of_another_user_is_reported_with_the_chown_command", |image| {
        let data = image.root.join("data");
        image.chown("65532:65532", &data);
        let said = "it belongs to uid 65532, and dunlin runs as uid 1883: as root, run `chown -R 1883:1883 /data`";
        for args in [&[][..], &["--check"]] {
            let mut running = Running::run(image.run(&[], args).stdout(Stdio::null()));
            assert_eq!(running.exit_code(), Some(1));
            assert!(running.read.len() == 1 && running.read[0].contains(said), "{:?}", running.read);
        }
        // and its content too
        let running = {
            image.chown("1883:1883", &data);
            image.started(&[], &[])
        };
        running.stop();
        ran(Command::new("chown").args(["-R", "65532:65532"]).arg(&data));
        fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
        let mut running = Running::run(&mut image.run(&[], &[]));
        assert_eq!(running.exit_code(), Some(1));
        assert!(running.read.iter().any(|line| line.contains(said)), "{:?}", running.read);
    });
}
