//! Reloads of the binary, at SIGHUP and with `watch`: a configuration is applied completely or not at all, and clients
//! stay connected. Tests read the log until the expected line, so that they never sleep.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::symlink, net::UnixStream},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use dunlin::auth;
use tokio_rustls::rustls::ClientConfig;

use crate::log::{field, unquoted};
use crate::support::{
    raw::{Client, Connect, Message, connack, puback},
    running::{Running, accepted},
    secure::{Certs, connect, expect, ping, rest, revocation_list, secure, serial, tcp},
};

/// A broker with its files.
struct Setup {
    certs: Certs,
    running: Running,
}

impl Setup {
    /// `text` is its configuration, with `DIR` for the folder of its files, in which there are certificates already.
    fn new(text: &str, files: &[(&str, &str)]) -> Self {
        let certs = Certs::new();
        files.iter().for_each(|(name, text)| fs::write(certs.path(name), text).unwrap());
        let config = certs.path("dunlin.toml");
        fs::write(&config, filled(&certs, text)).unwrap();
        let running = Running::listening(&[], &["--config", config.to_str().unwrap()]);
        Self { certs, running }
    }

    fn address(&self, listener: usize) -> SocketAddr {
        self.running.addresses[listener]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.certs.path(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), filled(&self.certs, text)).unwrap();
    }

    /// As editors do.
    fn replace(&self, name: &str, text: &str) {
        self.write("new", text);
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// The changes that the log lists.
    fn changed(&mut self) -> String {
        let line = self.running.wait_for("the configuration ");
        assert!(line.contains("the configuration was read again "), "{line}");
        unquoted(field(&line, "changed").unwrap())
    }

    /// The reason in the log why nothing changed.
    fn refused(&mut self) -> String {
        let line = self.running.wait_for("the configuration ");
        assert!(line.contains("ERROR the configuration stays as it is "), "{line}");
        unquoted(field(&line, "error").unwrap())
    }

    fn hangup(&mut self) -> String {
        self.running.signal("HUP");
        self.changed()
    }

    fn bad_hangup(&mut self) -> String {
        self.running.signal("HUP");
        self.refused()
    }

    fn ready_file(&self) -> String {
        fs::read_to_string(self.path("ready.json")).unwrap()
    }
}

fn filled(certs: &Certs, text: &str) -> String {
    text.replace("DIR", certs.dir().to_str().unwrap())
}

/// A free address of this machine: a closed listener had its port, so no other program gets it unless it asks for it.
fn free() -> SocketAddr {
    // an address that no other test uses
    TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap()
}

fn named(name: &str) -> Connect {
    Connect::new(name).user(name, &password(name))
}

fn password(name: &str) -> String {
    name.chars().rev().collect()
}

fn add_user(setup: &Certs, name: &str) {
    auth::edit(&setup.path("passwords"), name, auth::PasswordChange::Set(password(name).as_bytes())).unwrap();
}

/// A client whose certificate is not valid is refused.
#[track_caller]
fn is_refused(address: SocketAddr, config: &std::sync::Arc<ClientConfig>) {
    let mut client = secure(address, config);
    assert!(client.write_all(&Connect::new("refused").frame()).is_err() || client.read(&mut [0]).is_err());
}

// ---- certificates ----

/// Clients publish and are acknowledged all the time while the certificate is replaced again and again.
#[test]
fn a_certificate_is_replaced_at_a_reload_without_losing_connections() {
    const CLIENTS: usize = 6;
    const RENEWALS: usize = 5;
    let mut setup = Setup::new(SECURE, &[]);
    let address = setup.address(0);
    let before = setup.certs.client();
    let stop = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|at| {
                let mut client = secure(address, &before);
                connect(&mut client, &format!("load-{at}"));
                let stop = &stop;
                scope.spawn(move || {
                    let mut published = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let id = published % 60_000 + 1;
                        client.write_all(&Message::new("load", "payload").qos(1).id(id).frame()).unwrap();
                        expect(&mut client, &puback(id));
                        published += 1;
                    }
                    ping(&mut client);
                    published
                })
            })
            .collect();
        for at in 0..RENEWALS {
            setup.certs.renew();
            let name = format!("listener tls://{address}");
            assert_eq!(setup.hangup(), format!("certificate of {name}, private key of {name}"));
            // it is by another authority
            connect(&mut secure(address, &setup.certs.client()), &format!("new-{at}"));
            is_refused(address, &before);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(published.iter().all(|count| *count > 0), "{published:?}");
    setup.running.stop();
}

#[test]
fn clients_with_revoked_or_unknown_certificates_are_disconnected() {
    // a certificate alone is no user name
    let secured = format!("allow_anonymous = true\n{SECURE}");
    let mut setup = Setup::new(&secured, &[]);
    let address = setup.address(0);
    let lamp = setup.certs.lamp();
    setup.write("revoked.pem", &revocation_list(&setup.certs, &[], 2100));
    fs::copy(setup.path("ca.pem"), setup.path("clients.pem")).unwrap();
    let with_clients = format!(
        "{secured}client_ca_file = 'DIR/clients.pem'\nclient_certificates = 'required'\n\
         revocation_list_file = 'DIR/revoked.pem'\n"
    );
    let mut nameless = secure(address, &setup.certs.client());
    connect(&mut nameless, "nameless");
    setup.write("dunlin.toml", &with_clients);
    let changed = setup.hangup();
    assert!(changed.contains("client_certificates = \"required\" (was \"off\")"), "{changed}");
    ping(&mut nameless);
    is_refused(address, &setup.certs.client());
    let mut lasts = secure(address, &lamp);
    connect(&mut lasts, "lasts");

    setup.write("revoked.pem", &revocation_list(&setup.certs, &[&serial(&setup.path("client.pem"))], 2100));
    assert_eq!(setup.hangup(), format!("revocation list of listener tls://{address}"));
    assert_eq!(rest(&mut lasts), b"");
    // also a client that has a session ticket
    is_refused(address, &lamp);
    // one that was not asked for a certificate when it came
    ping(&mut nameless);

    setup.write("revoked.pem", &revocation_list(&setup.certs, &[], 2100));
    setup.hangup();
    let mut again = secure(address, &lamp);
    connect(&mut again, "again");
    let others = Certs::new();
    fs::copy(others.path("ca.pem"), setup.path("clients.pem")).unwrap();
    setup.write("revoked.pem", &revocation_list(&others, &[], 2100));
    let name = format!("listener tls://{address}");
    assert_eq!(setup.hangup(), format!("client CA of {name}, revocation list of {name}"));
    assert_eq!(rest(&mut again), b"");
    is_refused(address, &lamp);
}

// ---- invalid files ----

/// With each, the limits would be other ones and a listener more: neither comes.
#[test]
fn a_reload_with_an_invalid_file_changes_nothing_and_names_it() {
    let base = "ready_file = 'DIR/ready.json'\n\
                [auth]\npassword_file = 'DIR/passwords'\nacl_file = 'DIR/acl'\ntoken_jwks_file = 'DIR/jwks'\n\
                [[listener]]\naddress = '127.0.0.1:0'\n";
    let secure_listener = format!(
        "{SECURE}client_ca_file = 'DIR/ca.pem'\nclient_certificates = 'optional'\nrevocation_list_file = 'DIR/revoked.pem'\n"
    );
    let certs = Certs::new();
    add_user(&certs, "bob");
    let passwords = fs::read_to_string(certs.path("passwords")).unwrap();
    let good = format!("{base}{secure_listener}");
    let files = [("passwords", &*passwords), ("acl", "topic #\nuser bob\ntopic #\n"), ("jwks", JWKS)];
    let mut setup = {
        // the list has to be there before the broker is
        let certs = Certs::new();
        files.iter().for_each(|(name, text)| fs::write(certs.path(name), text).unwrap());
        fs::write(certs.path("revoked.pem"), revocation_list(&certs, &[], 2100)).unwrap();
        fs::write(certs.path("dunlin.toml"), filled(&certs, &good)).unwrap();
        let config = certs.path("dunlin.toml");
        let running = Running::listening(&[], &["--config", config.to_str().unwrap()]);
        Setup { certs, running }
    };
    let mut bob = {
        let mut client = Client::open(setup.address(0));
        client.send(&named("bob").frame());
        client.expect(&connack(0, 0));
        client
    };
    let ready = setup.ready_file();
    let another = free();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let [taken_address, own] = [taken.local_addr().unwrap(), setup.address(0)];
    let changed =
        format!("{good}[[listener]]\naddress = '{another}'\nallow_anonymous = true\n[limits]\nmax_packet_size = 200\n");

    let mut refused = |setup: &mut Setup, what: &str, words: &str| {
        let why = setup.bad_hangup();
        assert!(why.contains(&filled(&setup.certs, words)), "{what}: {why}");
        bob.publish(Message::new("t", &"x".repeat(500)).qos(1));
        assert!(TcpStream::connect(another).is_err(), "{what}");
        assert_eq!(setup.ready_file(), ready, "{what}");
    };
    setup.write("dunlin.toml", &changed);
    let table = [
        ("server.pem", "", "DIR/server.pem has no certificate in it"),
        ("server.key", "", "DIR/server.key has no private key in it"),
        ("ca.pem", "", "DIR/ca.pem has no certificate in it"),
        ("revoked.pem", "", "DIR/revoked.pem has no revocation list in it"),
        ("passwords", "bob:\n", "DIR/passwords:1: "),
        ("acl", "topic #\ntpic a\n", "DIR/acl:2: a line begins with"),
        ("jwks", "{}", "DIR/jwks: no set of JSON Web Keys"),
    ];
    for (file, text, words) in table {
        let was = fs::read(setup.path(file)).unwrap();
        setup.write(file, text);
        refused(&mut setup, file, words);
        fs::remove_file(setup.path(file)).unwrap();
        refused(&mut setup, file, &format!("DIR/{file}"));
        fs::write(setup.path(file), was).unwrap();
    }
    let configs = [
        (format!("{changed}no_such_key = 1\n"), "DIR/dunlin.toml:".to_owned()),
        (format!("{changed}[limits]\n"), "DIR/dunlin.toml:".into()),
        (
            format!("{changed}[[listener]]\naddress = '{taken_address}'\n"),
            format!("cannot listen on {taken_address}: Address already in use"),
        ),
        (format!("{changed}[[listener]]\naddress = 'unix:DIR/none/s'\n"), "cannot listen on DIR/none/s".into()),
        (changed.replace("ready.json", "none/ready.json"), "cannot write the ready file DIR/none/ready.json".into()),
        // it cannot come before the other one goes
        (
            changed.replacen("127.0.0.1:0", &format!("0.0.0.0:{}", own.port()), 1),
            format!("while this broker listens on {own}"),
        ),
    ];
    for (text, words) in configs {
        setup.write("dunlin.toml", &text);
        refused(&mut setup, &text, &words);
    }

    setup.write("dunlin.toml", &changed);
    let line = setup.hangup();
    assert_eq!(line, format!("limits.max_packet_size = 200 (was 2000000), listener {another} is open"));
    accepted(another, "c");
    bob.send(&Message::new("t", &"x".repeat(500)).qos(1).id(9).frame());
    bob.expect_closed();
}

// ---- listeners ----

#[test]
fn a_reload_adds_removes_and_changes_listeners() {
    const ONE: &str = "ready_file = 'DIR/ready.json'\n[[listener]]\naddress = '127.0.0.1:0'\n";
    let mut setup = Setup::new(ONE, &[]);
    let (first, second) = (setup.address(0), free());
    let mut by_first = accepted(first, "first");
    setup.write(
        "dunlin.toml",
        &format!("{ONE}[[listener]]\naddress = '{second}'\n[[listener]]\naddress = 'unix:DIR/s'\nmode = '0600'\n"),
    );
    let socket = setup.path("s");
    let told = |text: &str| filled(&setup.certs, text);
    let expected = told(&format!("listener {second} is open, listener unix:DIR/s is open"));
    assert_eq!(setup.hangup(), expected);
    assert!(setup.ready_file().contains(&second.port().to_string()) && setup.ready_file().contains("/s\""));
    let mut by_second = accepted(second, "second");
    let mut by_unix = UnixStream::connect(&socket).unwrap();
    connect(&mut by_unix, "unix");

    // other settings: connected clients keep those of their CONNECT
    setup.write(
        "dunlin.toml",
        &format!(
            "{ONE}[[listener]]\naddress = '{second}'\ntransport = 'ws'\n[[listener]]\naddress = 'unix:DIR/s'\n\
             mode = '0660'\nallow_anonymous = false\n"
        ),
    );
    let changed = setup.hangup();
    let expected = filled(
        &setup.certs,
        &format!(
            "listener ws://{second}: transport = \"ws\" (was \"tcp\"), listener unix:DIR/s: allow_anonymous = false (was \
             \"inherit\"), listener unix:DIR/s: mode = \"0660\" (was \"0600\")"
        ),
    );
    assert_eq!(changed, expected);
    assert_eq!(
        fs::metadata(&socket).map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions())).unwrap() & 0o777,
        0o660
    );
    assert!(setup.ready_file().contains("\"ws\""));
    by_second.expect_nothing_pending();
    ping(&mut by_unix);
    let mut page = tcp(second);
    page.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    expect(&mut page, b"HTTP/1.1 ");
    let mut refused = UnixStream::connect(&socket).unwrap();
    refused.write_all(&Connect::new("refused").frame()).unwrap();
    expect(&mut refused, &connack(0, 5));

    setup.write("dunlin.toml", ONE);
    let expected = filled(&setup.certs, &format!("listener ws://{second} is closed, listener unix:DIR/s is closed"));
    assert_eq!(setup.hangup(), expected);
    assert!(TcpStream::connect(second).is_err() && !socket.exists());
    assert!(!setup.ready_file().contains(&second.port().to_string()));
    by_second.expect_nothing_pending();
    ping(&mut by_unix);
    by_first.expect_nothing_pending();
    accepted(first, "still");
    assert_eq!(setup.hangup(), "nothing");

    // the address is free
    setup.write("dunlin.toml", &format!("{ONE}[[listener]]\naddress = '{second}'\n"));
    assert_eq!(setup.hangup(), format!("listener {second} is open"));
    accepted(second, "again");
    let ready = setup.path("ready.json");
    setup.write("dunlin.toml", &ONE.replace("ready.json", "elsewhere"));
    setup.hangup();
    assert!(!ready.exists() && setup.path("elsewhere").exists());
    let elsewhere = setup.path("elsewhere");
    let Setup { certs: _files, running } = setup;
    running.stop();
    assert!(!elsewhere.exists());
}

// ---- users and rules ----

#[test]
fn users_and_rules_are_those_of_the_files() {
    const USERS: &str = "allow_anonymous = false\n[auth]\npassword_file = 'DIR/passwords'\nacl_file = 'DIR/acl'\n\
                         [[listener]]\naddress = '127.0.0.1:0'\n";
    let mut setup =
        Setup::new(USERS, &[("passwords", "# nobody\n"), ("acl", "user eve\ntopic a\nuser bob\ntopic a\n")]);
    let address = setup.address(0);
    let join = |name: &str, code: u8| {
        let mut client = Client::open(address);
        client.send(&named(name).frame());
        client.expect(&connack(0, code));
        client
    };
    drop(join("bob", 4));
    add_user(&setup.certs, "bob");
    add_user(&setup.certs, "eve");
    assert_eq!(setup.hangup(), "users (auth.password_file)");
    let (mut bob, mut eve) = (join("bob", 0), join("eve", 0));
    eve.subscribe(&[("#", 1)]);
    bob.publish(Message::new("a", "1").qos(1));
    eve.expect_message("a", "1", 1);

    setup.write("acl", "user eve\ntopic a\nuser bob\ntopic b\n");
    assert_eq!(setup.hangup(), "rules (auth.acl_file)");
    bob.publish(Message::new("a", "2").qos(1));
    eve.expect_nothing_pending();

    auth::edit(&setup.path("passwords"), "bob", auth::PasswordChange::Delete).unwrap();
    assert_eq!(setup.hangup(), "users (auth.password_file)");
    bob.expect_closed();
    eve.expect_nothing_pending();
    drop(join("bob", 4));
}

// ---- watching ----

#[test]
fn files_that_are_watched_are_read_when_they_are_replaced() {
    const WATCHED: &str = "watch = true\nready_file = 'DIR/ready.json'\n[auth]\nacl_file = 'DIR/acl'\n\
                           [[listener]]\naddress = '127.0.0.1:0'\n";
    let mut setup = Setup::new(WATCHED, &[("acl", "topic a\n")]);
    let [mut subscriber, mut publisher] = ["s", "p"].map(|id| setup.running.client(id));
    subscriber.subscribe(&[("#", 1)]);
    publisher.publish(Message::new("b", "1").qos(1));
    setup.replace("acl", "topic b\n");
    assert_eq!(setup.changed(), "rules (auth.acl_file)");
    publisher.publish(Message::new("b", "2").qos(1));
    subscriber.expect_message("b", "2", 1);

    // changes of unrelated files are ignored; an invalid file is logged, and read again when it is corrected
    setup.write("unrelated", "text");
    setup.replace("acl", "tpic b\n");
    let why = setup.refused();
    assert!(why.contains("/acl:1: "), "{why}");
    setup.replace("acl", "topic c\n");
    assert_eq!(setup.changed(), "rules (auth.acl_file)");

    // the configuration itself, and a file that it names from now on
    let secure_too = format!("{WATCHED}{SECURE}");
    setup.replace("dunlin.toml", &secure_too);
    let changed = setup.changed();
    let address: SocketAddr = changed
        .strip_prefix("listener tls://")
        .and_then(|rest| rest.strip_suffix(" is open"))
        .unwrap_or_else(|| panic!("{changed}"))
        .parse()
        .unwrap();
    connect(&mut secure(address, &setup.certs.client()), "tls");
    assert!(!setup.running.read.iter().any(|line| line.contains("changed=nothing")), "{:#?}", setup.running.read);
    // two files: where it looks between them, it finds that they do not belong together, and waits for the other
    setup.certs.renew();
    let name = format!("listener tls://{address}");
    setup.running.wait_for(&format!("changed=\"certificate of {name}, private key of {name}\""));
    connect(&mut secure(address, &setup.certs.client()), "renewed");

    // not any more
    setup.replace("dunlin.toml", &secure_too.replace("watch = true\n", ""));
    setup.running.wait_for("changed=\"watch = false (was true)\"");
    setup.replace("acl", "topic d\n");
    assert_eq!(setup.hangup(), "rules (auth.acl_file)");
}

/// As Kubernetes mounts a ConfigMap: `acl` → `..data/acl`, `..data` → a directory; a link that is renamed over `..data`
/// makes it another one.
#[test]
fn links_that_are_replaced_are_followed() {
    let certs = Certs::new();
    for (version, rules) in [("one", "topic a\n"), ("two", "topic b\n")] {
        fs::create_dir(certs.path(version)).unwrap();
        fs::write(certs.path(version).join("acl"), rules).unwrap();
    }
    fs::create_dir(certs.path("mounted")).unwrap();
    symlink("../one", certs.path("mounted/..data")).unwrap();
    symlink("..data/acl", certs.path("mounted/acl")).unwrap();
    let text = "watch = true\n[auth]\nacl_file = 'DIR/mounted/acl'\n[[listener]]\naddress = '127.0.0.1:0'\n";
    fs::write(certs.path("dunlin.toml"), filled(&certs, text)).unwrap();
    let config = certs.path("dunlin.toml");
    let running = Running::listening(&[], &["--config", config.to_str().unwrap()]);
    let mut setup = Setup { certs, running };
    symlink("../two", setup.path("mounted/..new")).unwrap();
    fs::rename(setup.path("mounted/..new"), setup.path("mounted/..data")).unwrap();
    assert_eq!(setup.changed(), "rules (auth.acl_file)");
    // and its new target is watched
    fs::write(setup.path("two/acl"), "topic c\n").unwrap();
    assert_eq!(setup.changed(), "rules (auth.acl_file)");
}

/// Whether there is a folder for them at the start or not.
#[test]
fn a_reload_reads_added_changed_and_removed_drop_in_files() {
    for there in [false, true] {
        let certs = Certs::new();
        if there {
            fs::create_dir(certs.path("dunlin.d")).unwrap();
        }
        let config = certs.path("dunlin.toml");
        fs::write(&config, "watch = true\n[[listener]]\naddress = '127.0.0.1:0'\n").unwrap();
        let running = Running::listening(&[], &["--config", config.to_str().unwrap()]);
        let mut setup = Setup { certs, running };
        if !there {
            fs::create_dir(setup.path("dunlin.d")).unwrap();
        }
        for (packets, change) in [(7, "7 (was 100)"), (8, "8 (was 7)")] {
            setup.replace("dunlin.d/a.toml", &format!("[limits]\nmax_inflight_out = {packets}\n"));
            assert_eq!(setup.changed(), format!("limits.max_inflight_out = {change}"));
        }
        fs::remove_file(setup.path("dunlin.d/a.toml")).unwrap();
        assert_eq!(setup.changed(), "limits.max_inflight_out = 100 (was 8)");
    }
}

const SECURE: &str = "[[listener]]\naddress = 'tls://127.0.0.1:0'\ncertificate_file = 'DIR/server.pem'\n\
                      key_file = 'DIR/server.key'\n";
/// The key of RFC 7515, appendix A.1.
const JWKS: &str = r#"{"keys":[{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}"#;
