//! `dunlin init`: a broker for a house, with one password. It writes a configuration and its files, and shows how a
//! client connects.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Write},
    net::{IpAddr, UdpSocket},
    path::Path,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    command_error::{CommandError, InitError},
    passwords::{asked_twice, fits},
    starter_set::{CONFIGURATION, StarterSet, check_absent},
};
use crate::{
    auth::FirstLine,
    config::{Init, starter},
    platform,
};

struct Password {
    bytes: Vec<u8>,
    origin: Origin,
}

/// The origin of a password, which determines how the client's command line contains it.
enum Origin {
    /// It was typed or piped.
    Given,
    /// It was generated, with these characters.
    Made(String),
    /// It is in a file, which this command prints.
    File(String),
}

/// Writes the files, and prints the next commands.
pub(super) fn set_up(init: &Init) -> Result<(), CommandError> {
    let Init { dir, user, password_file, host } = init;
    check_absent(dir)?;
    let password = password(user, password_file.as_deref())?;
    let hosts = hosts(host);
    let mut set = StarterSet::make(dir, user, &password.bytes, &hosts)?;
    set.place()?;
    let mut out = io::stdout();
    let printed = writeln!(out, "{}", told(init, &password, &hosts)).and_then(|()| out.flush());
    match (printed, &password.origin) {
        // without it the password would be unknown: the files are removed
        (Err(error), Origin::Made(_)) => Err(InitError::Unshown(error).into()),
        (printed, _) => {
            set.keep();
            match printed {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Write(error)),
                _ => Ok(()),
            }
        }
    }
}

fn password(user: &str, file: Option<&Path>) -> Result<Password, CommandError> {
    if let Some(path) = file {
        return password_of(path);
    }
    if io::stdin().is_terminal() {
        let text = asked_twice(&format!("Password for {user} (none: one is made): "))?;
        if !text.is_empty() {
            fits(text.as_bytes(), "the password")?;
            return Ok(Password { bytes: text.into(), origin: Origin::Given });
        }
    }
    if platform::is_null(io::stdout()) {
        return Err(InitError::Unseen.into());
    }
    let mut random = [0; 18];
    SystemRandom::new().fill(&mut random).expect("the system gives random bytes");
    // the client would take a leading "-" for a flag
    let text = URL_SAFE_NO_PAD.encode(random).replace('-', "x");
    Ok(Password { bytes: text.clone().into(), origin: Origin::Made(text) })
}

fn password_of(path: &Path) -> Result<Password, CommandError> {
    let read = File::open(path).and_then(|file| {
        let is_regular = file.metadata()?.is_file();
        Ok((FirstLine::read(BufReader::new(file))?, is_regular))
    });
    let (line, is_regular) = read.map_err(|error| InitError::Read { path: path.into(), error })?;
    fits(&line.password, "the first line of --password-file")?;
    let mut command = format!("head -n 1 {}", quoted(&path.display().to_string()));
    // remove the other parts of the line
    if line.has_mark {
        command += " | tail -c +4";
    }
    if line.has_carriage_return {
        command += r" | tr -d '\r'";
    }
    // a pipe can be read only once
    let origin = if is_regular { Origin::File(command) } else { Origin::Given };
    Ok(Password { bytes: line.password, origin })
}

impl Password {
    /// The password as a word for a shell. One that the user chose is not shown.
    fn word(&self) -> String {
        match &self.origin {
            Origin::Given => "PASSWORD".into(),
            Origin::Made(text) => quoted(text),
            Origin::File(command) => format!("\"$({command})\""),
        }
    }
}

/// The names and addresses of this machine for clients, as far as known, and the requested ones.
fn hosts(asked: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).into();
    hosts.extend(asked.iter().cloned());
    let name = platform::host_name();
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if fits {
        hosts.extend([name.clone(), format!("{name}.local")]);
    }
    hosts.extend(own_addresses().map(|address| address.to_string()));
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    hosts
}

/// The address of this machine towards others. A connected UDP socket has such an address, and nothing is sent; the
/// targets are addresses for documentation.
fn own_addresses() -> impl Iterator<Item = IpAddr> {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].into_iter().filter_map(|(any, other)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(other).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_unspecified() && !address.is_loopback()).then_some(address)
    })
}

fn told(init: &Init, password: &Password, hosts: &[String]) -> String {
    let Init { dir, user, host: asked, .. } = init;
    let [file, authority] = [dir.join(CONFIGURATION), dir.join(starter::CERTS).join("ca.pem")]
        .map(|path| quoted(&path.display().to_string()));
    let (user, word) = (quoted(user), password.word());
    let client = |program: &str, rest: &str| {
        format!("  {program} -h localhost -p 8883 --cafile {authority} -u {user} -P {word} {rest}\n")
    };
    let mut out = format!("The broker, for this machine and, over TLS, for others:\n  dunlin -c {file}\n");
    out += "Clients on this machine:\n";
    out += &client("mosquitto_sub", "-t '#' -v");
    out += &client("mosquitto_pub", "-t house/lamp -m on");
    if let Some(host) = elsewhere(asked, hosts) {
        out += &format!("Clients elsewhere: copy {authority} there; this reads the password from the keyboard:\n");
        out += &format!(
            "  IFS= read -r PASSWORD; mosquitto_sub -h {host} -p 8883 --cafile ca.pem -u {user} -P \"$PASSWORD\" -t '#' -v\n"
        );
    }
    out += &format!("The web console, on this machine, for {user}: http://127.0.0.1:9883/\n");
    out += &match &password.origin {
        Origin::Given => "PASSWORD is the password that you gave.\n".into(),
        Origin::Made(text) => format!("The password of {user} is {text}; it is shown this once.\n"),
        Origin::File(_) => String::new(),
    };
    out +=
        &format!("The certificate is for {}; it is for development: certs/ca.key can sign others.", hosts.join(", "));
    out
}

/// The address of this machine for clients on others: the first requested name or address, or an address of its own.
fn elsewhere<'a>(asked: &'a [String], hosts: &'a [String]) -> Option<&'a str> {
    let reaches = |host: &&String| match host.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        // a wildcard is only for certificates
        Err(_) => !host.eq_ignore_ascii_case("localhost") && !host.contains('*'),
    };
    let is_address = |host: &&String| host.parse::<IpAddr>().is_ok();
    let known = || hosts.iter().filter(is_address).find(reaches);
    asked.iter().find(reaches).or_else(known).map(|host| &**host)
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/@+".contains(&b));
    if plain { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_are_quoted_for_a_shell() {
        for (word, expected) in [("a/b.c", "a/b.c"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn clients_elsewhere_use_the_given_host() {
        let table: [(&[&str], &[&str], Option<&str>); 5] = [
            (&["broker.lan"], &["localhost", "127.0.0.1", "broker.lan", "house", "192.0.2.2"], Some("broker.lan")),
            (&["localhost", "::1", "*.lan", "192.0.2.9"], &["localhost", "192.0.2.2"], Some("192.0.2.9")),
            (&["*.lan"], &["localhost", "*.lan", "house.local", "192.0.2.2"], Some("192.0.2.2")),
            (&[], &["localhost", "127.0.0.1", "::1", "house", "2001:db8::2"], Some("2001:db8::2")),
            (&[], &["localhost", "127.0.0.1", "house"], None),
        ];
        for (asked, hosts, expected) in table {
            let [asked, hosts] =
                [asked, hosts].map(|hosts| hosts.iter().map(|host| (*host).into()).collect::<Vec<_>>());
            assert_eq!(elsewhere(&asked, &hosts), expected, "{asked:?}");
        }
    }

    #[test]
    fn each_host_of_a_certificate_appears_once() {
        let hosts = hosts(&["localhost".into(), "broker.lan".into()]);
        assert_eq!(hosts[..4], ["localhost", "127.0.0.1", "::1", "broker.lan"]);
        assert_eq!(hosts.iter().filter(|host| *host == "localhost").count(), 1);
    }
}
