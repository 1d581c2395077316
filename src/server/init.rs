//! `dunlin init`: a broker for a house, with one password. Writes a configuration and all that it names, and says how a
//! client connects.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    net::{IpAddr, UdpSocket},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    command_error::{CommandError, InitError},
    passwords::{asked_twice, first_line},
};
use crate::{
    auth, certs,
    config::{Init, starter},
};

/// Where the password is from, which decides how the client's command line has it.
enum Password {
    Typed(String),
    Made(String),
    File(String, PathBuf),
}

/// Sets it up; what to type next.
pub(super) fn set_up(init: &Init) -> Result<String, CommandError> {
    let Init { dir, user, password_file, host } = init;
    let file = dir.join("dunlin.toml");
    let [passwords, certificates, data] =
        [starter::PASSWORDS, starter::CERTS, starter::DATA].map(|name| dir.join(name));
    let all = [&file, &passwords, &certificates, &data];
    if let Some(there) = all.into_iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        return Err(InitError::Exists(there.clone()).into());
    }
    let password = password(user, password_file.as_deref())?;
    let written = |path: &Path| {
        let path = path.to_owned();
        move |error| InitError::Write { path, error }
    };
    fs::create_dir_all(dir).map_err(written(dir))?;
    let hosts = hosts(host);
    let write_all = || -> Result<(), CommandError> {
        auth::edit(&passwords, user, auth::PasswordChange::Set(password.text().as_bytes()))?;
        certs::make(&certificates, &hosts, user, false)?;
        let create = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&file);
        let write = create.and_then(|mut new| new.write_all(starter::starter().as_bytes()));
        Ok(write.map_err(written(&file))?)
    };
    write_all().inspect_err(|_| {
        // they were not there before; what is wrong is said by the error
        let _ = fs::remove_file(&passwords);
        let _ = fs::remove_dir_all(&certificates);
    })?;
    Ok(told(&file, &certificates.join("ca.pem"), user, &password, &hosts))
}

fn password(user: &str, file: Option<&Path>) -> Result<Password, CommandError> {
    if let Some(path) = file {
        let read = fs::File::open(path).and_then(|file| first_line(io::BufReader::new(file)));
        let text = read.map_err(|error| InitError::Read { path: path.into(), error })?;
        return match text.is_empty() {
            true => Err(CommandError::NoPassword("the first line of --password-file is empty")),
            false => Ok(Password::File(text, path.into())),
        };
    }
    if io::stdin().is_terminal() {
        let text = asked_twice(&format!("Password for {user} (none: one is made): "))?;
        if !text.is_empty() {
            return Ok(Password::Typed(text));
        }
    }
    let mut random = [0; 18];
    SystemRandom::new().fill(&mut random).expect("the system gives random bytes");
    // a "-" at its beginning would look like a flag of the client's
    Ok(Password::Made(URL_SAFE_NO_PAD.encode(random).replace('-', "x")))
}

impl Password {
    fn text(&self) -> &str {
        let (Self::Typed(text) | Self::Made(text) | Self::File(text, _)) = self;
        text
    }

    /// As a word for a shell. One that somebody chose is not shown.
    fn word(&self) -> String {
        match self {
            Self::Typed(_) => "PASSWORD".into(),
            Self::Made(text) => quoted(text),
            Self::File(_, path) => format!("\"$(head -n 1 {})\"", quoted(&path.display().to_string())),
        }
    }
}

/// The names and addresses by which clients reach this machine, as far as it knows them, and those that are asked for.
fn hosts(asked: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).into();
    hosts.extend(asked.iter().cloned());
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if fits {
        hosts.extend([name.clone(), format!("{name}.local")]);
    }
    hosts.extend(own_addresses().map(|address| address.to_string()));
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    hosts
}

/// From where this machine speaks to others. A socket of UDP that is connected has such an address, and nothing is
/// sent; those that it is connected to are for documentation.
fn own_addresses() -> impl Iterator<Item = IpAddr> {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].into_iter().filter_map(|(any, other)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(other).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_unspecified() && !address.is_loopback()).then_some(address)
    })
}

fn told(file: &Path, authority: &Path, user: &str, password: &Password, hosts: &[String]) -> String {
    let [file, authority] = [file, authority].map(|path| quoted(&path.display().to_string()));
    let (user, word) = (quoted(user), password.word());
    let client = |program: &str, host: &str, rest: &str| {
        format!("  {program} -h {host} -p 8883 --cafile {authority} -u {user} -P {word} {rest}\n")
    };
    let mut out = format!("The broker, for this machine and, over TLS, for others:\n  dunlin -c {file}\n");
    out += "Clients on this machine:\n";
    out += &client("mosquitto_sub", "localhost", "-t '#' -v");
    out += &client("mosquitto_pub", "localhost", "-t house/lamp -m on");
    if let Some(host) = hosts.iter().find(|host| host.parse().is_ok_and(|ip: IpAddr| !ip.is_loopback())) {
        out += "Clients elsewhere, with a copy of ca.pem:\n";
        out += &client("mosquitto_sub", host, "-t '#' -v");
    }
    out += &match password {
        Password::Typed(_) => "PASSWORD is what you typed.\n".into(),
        Password::Made(text) => format!("The password of {user} is {text}; it is shown this once.\n"),
        Password::File(..) => String::new(),
    };
    out +=
        &format!("The certificate is for {}; it is for development: certs/ca.key can sign others.", hosts.join(", "));
    out
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/@+".contains(&b));
    if plain { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_for_a_shell() {
        for (word, expected) in [("a/b.c", "a/b.c"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn each_host_is_there_once() {
        let hosts = hosts(&["localhost".into(), "broker.lan".into()]);
        assert_eq!(hosts[..4], ["localhost", "127.0.0.1", "::1", "broker.lan"]);
        assert_eq!(hosts.iter().filter(|host| *host == "localhost").count(), 1);
    }
}
