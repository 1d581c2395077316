//! The command line and the environment: [`Cli`]. `resolve` combines it with the file; `forms`, `keys` and `listen`
//! define the accepted values.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser,
    builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, Resettable, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{
    commands::Command,
    file,
    forms::{Choice, Form},
    keys::{ANONYMOUS, LOG_FORMAT, LOG_LEVEL, WORKERS},
    listen::ListenAddress,
    mosquitto,
    plain::read_plain,
    settings::{LogFormat, LogLevel},
};

/// Dunlin, an MQTT broker.
///
/// Without flags and files it listens on port 1883 of the loopback interface, accepts anonymous clients there, and
/// keeps everything in memory.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "dunlin", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Listen on this address; may be repeated, and replaces the listeners of the file.
    ///
    /// An address or host name and a port (`127.0.0.1:1883`, `[::1]:1883`, `broker.lan:1883`); `localhost:1883` or
    /// `1883` alone for the loopback of IPv4 and IPv6; `:1883` or `*:1883` for every interface, in IPv4 and IPv6. Port
    /// 0 picks a free one. `tls://` (or `mqtts://`), `ws://` or `wss://` before it is another transport than TCP, with
    /// a default port of its own; `unix:/path` is a Unix socket, `systemd:NAME` the sockets that systemd passes by that
    /// name.
    #[arg(long, env = "DUNLIN_LISTEN", value_name = "ADDRESS:PORT", value_delimiter = ',')]
    pub listen: Vec<ListenAddress>,

    /// Listen on this port of the loopback interface; may be repeated, is combined with --listen, and replaces the
    /// listeners of the file.
    #[arg(short = 'p', value_name = "PORT")]
    pub port: Vec<u16>,

    /// The certificate chain, PEM, for `--listen tls://…` and `wss://…`.
    #[arg(long, env = "DUNLIN_CERTIFICATE", value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,

    /// The private key of the certificate, PEM.
    #[arg(long, env = "DUNLIN_KEY", value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,

    /// Write the secrets of TLS connections to this file, so that Wireshark can decrypt what is recorded of them.
    #[arg(long, env = "DUNLIN_TLS_KEYLOG", value_name = "FILE")]
    pub tls_keylog: Option<PathBuf>,

    /// Read the configuration from this file.
    ///
    /// The variable may name several, separated by `:`; the first that exists is read.
    // the last one wins: flags of a container's user follow those of its entry point
    #[arg(short = 'c', long, env = "DUNLIN_CONFIG", value_name = "FILE", overrides_with = "config")]
    pub config: Option<PathBuf>,

    /// Write this file once all listeners accept; it is removed on exit.
    #[arg(long, env = "DUNLIN_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,

    /// Store sessions, their messages and retained messages in this directory.
    #[arg(long, env = "DUNLIN_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Read the files of the web console from this directory at each request, instead of those in the binary.
    #[arg(long, env = "DUNLIN_CONSOLE_DIR", value_name = "DIR")]
    pub console_dir: Option<PathBuf>,

    /// Accept clients without a user name, on every listener.
    ///
    /// By default only loopback listeners accept them; with =false, none does. A listener's own setting in the file
    /// overrides both.
    #[arg(long, env = "DUNLIN_ALLOW_ANONYMOUS", value_name = "true|false", value_parser = plain(&ANONYMOUS),
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_anonymous: Option<Anonymous>,

    /// Threads that serve connections; by default one for each CPU, less one.
    #[arg(long, env = "DUNLIN_WORKERS", value_name = "N", value_parser = plain(&WORKERS))]
    pub workers: Option<WorkerThreads>,

    /// The least severe level that is logged.
    #[arg(long, env = "DUNLIN_LOG_LEVEL", value_name = "LEVEL", value_parser = one_of(LOG_LEVEL), ignore_case = true)]
    pub log_level: Option<LogLevel>,

    /// Log at level debug.
    #[arg(short = 'v')]
    pub verbose: bool,

    /// How a log line is written.
    #[arg(long, env = "DUNLIN_LOG_FORMAT", value_name = "FORMAT", value_parser = one_of(LOG_FORMAT), ignore_case = true)]
    pub log_format: Option<LogFormat>,

    /// Run the broker in the background. The command exits once the broker serves, or prints why it does not.
    ///
    /// Without log.file the log goes to syslog. Under a service manager and in a container, use the foreground.
    #[arg(short = 'd')]
    pub detach: bool,

    /// Check the configuration: print what would run, or all errors, and exit. Nothing is started or written.
    ///
    /// A broker may run meanwhile. Files are checked with the permissions of the user of this process.
    #[arg(long, env = "DUNLIN_CHECK", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub check: bool,

    /// Print the default configuration, every key with its description, and exit.
    #[arg(long, env = "DUNLIN_PRINT_CONFIG", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    pub print_config: bool,

    /// A subcommand, instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The names of the environment variables that set flags.
    #[arg(skip)]
    pub(super) variables: Vec<String>,
}

/// As [`Config::allow_anonymous`].
type Anonymous = Option<bool>;
/// As [`Config::workers`].
type WorkerThreads = Option<usize>;

impl Cli {
    /// The log format for an error before the log starts. The file is read for it as far as possible. Other commands
    /// have no log.
    pub fn error_format(&self) -> LogFormat {
        if self.command.is_some() {
            return LogFormat::Text;
        }
        self.log_format.or_else(|| file::log_format(self.config.as_deref()?)).unwrap_or_default()
    }

    /// The same when the flags `args` are invalid: the format is read from them or from its variable.
    pub fn error_format_of(args: impl IntoIterator<Item = OsString>) -> LogFormat {
        let asked = asked(args, "--log-format", "DUNLIN_LOG_FORMAT");
        asked.and_then(|word| LOG_FORMAT.meaning(word.to_str()?)).unwrap_or_default()
    }

    /// The ready file of a broker that is about to start. The file is read for it as far as possible.
    pub fn ready_file(&self) -> Option<PathBuf> {
        match self.command.is_some() || self.check || self.print_config {
            true => None,
            false => self.ready_file.clone().or_else(|| file::ready_file(self.config.as_deref()?)),
        }
    }

    /// The same when the flags `args` are invalid; `None` also if they do not start a broker.
    pub fn ready_file_of(args: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
        let (command, args) = (Self::command(), args.into_iter().collect::<Vec<_>>());
        let is_else = |arg: &OsString| {
            let arg = arg.to_string_lossy();
            ["--check", "--print-config"].contains(&&*arg) || command.find_subcommand(&*arg).is_some()
        };
        let none = args.iter().skip(1).any(is_else);
        (!none).then(|| asked(args, "--ready-file", "DUNLIN_READY_FILE")).flatten().map(Into::into)
    }

    /// Parses the flags `args`, with the program's name first, over the environment of the process. An empty variable
    /// counts as unset.
    pub fn try_from_args<A: Into<OsString> + Clone>(args: impl IntoIterator<Item = A>) -> Result<Self, clap::Error> {
        let command = Self::command().mut_args(|arg| {
            let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
            if empty { arg.env(Resettable::Reset) } else { arg }
        });
        let args = mosquitto::arguments(args.into_iter().map(Into::into).collect());
        match command.clone().try_get_matches_from(&args) {
            Ok(matches) => {
                let is_variable = |id: &&str| matches.value_source(id) == Some(ValueSource::EnvVariable);
                let variables = command.get_arguments().filter(|arg| is_variable(&arg.get_id().as_str()));
                let names = variables.filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned())).collect();
                let is_list = is_variable(&"config");
                Self::from_arg_matches(&matches).map(|cli| {
                    let config = if is_list { cli.config.as_deref().map(first_of) } else { cli.config };
                    Self { variables: names, config, ..cli }
                })
            }
            Err(error) => Err(name_variable(name_place(name_file(error), &command, &args), command, &args)),
        }
    }
}

/// The first existing file in the list of `DUNLIN_CONFIG`, separated by `:`; if none exists, the last one.
fn first_of(list: &Path) -> PathBuf {
    let files: Vec<_> = std::env::split_paths(list).collect();
    let found = files.iter().find(|file| file.exists()).or(files.last());
    found.cloned().unwrap_or_default()
}

/// A file where a command is expected is told where it belongs.
fn name_file(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let is_file = word.ends_with(".conf") || word.ends_with(".toml") || Path::new(word).is_file();
        if is_file {
            let tip = format!("a configuration is read with -c: dunlin -c {word}");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
    }
    error
}

/// A flag of the broker behind a subcommand is told where it belongs.
fn name_place(mut error: clap::Error, command: &clap::Command, args: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let name = flag.split(['=', ' ']).next().unwrap_or_default();
    let is_it = |arg: &&clap::Arg| {
        let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        long || arg.get_short().is_some_and(|short| name.strip_prefix('-').is_some_and(|rest| rest.starts_with(short)))
    };
    let known = command.get_arguments().any(|arg| is_it(&arg)) && error.kind() == ErrorKind::UnknownArgument;
    let found = args.iter().skip(1).find_map(|arg| command.find_subcommand(arg));
    if let (true, Some(found)) = (known, found) {
        let found = found.get_name();
        let tip = format!("it is a flag of the broker: write it before {found:?}, as in dunlin {name} … {found}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// An invalid value of an environment variable is reported with the variable's name.
fn name_variable(mut error: clap::Error, command: clap::Command, args: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).cloned() else { return error };
    let mut built = command.clone();
    built.build();
    let found = built.get_arguments().find(|arg| arg.to_string() == flag);
    let Some((id, Some(variable))) = found.map(|arg| (arg.get_id().clone(), arg.get_env())) else { return error };
    let named = format!("{} ({flag})", variable.to_string_lossy());
    let without = command.mut_arg(id, |arg| arg.env(Resettable::Reset)).try_get_matches_from(args);
    let is_flag = without.is_err_and(|still| still.get(ContextKind::InvalidArg) == error.get(ContextKind::InvalidArg));
    if !is_flag {
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

/// The value of a flag or its variable, when other flags are invalid.
fn asked(args: impl IntoIterator<Item = OsString>, flag: &str, variable: &str) -> Option<OsString> {
    let mut args = args.into_iter();
    let mut asked = std::env::var_os(variable).filter(|value| !value.is_empty());
    while let Some(arg) = args.next() {
        match arg.as_encoded_bytes().strip_prefix(flag.as_bytes()) {
            Some([]) => asked = args.next(),
            Some([b'=', value @ ..]) => asked = Some(crate::platform::os_string(value)),
            _ => {}
        }
    }
    asked
}

/// Parses a value as in the file.
fn plain<F: Form>(form: &'static F) -> impl Fn(&str) -> Result<F::Value, String> + Clone {
    move |text| read_plain(form, text)
}

/// Parses a word as in the file.
fn one_of<T: Copy + PartialEq + Send + Sync>(choice: Choice<T>) -> impl TypedValueParser<Value = T> {
    let value = |word: &'static str| PossibleValue::new(word).aliases(choice.aliases(word));
    let values: Vec<_> = choice.words().map(value).collect();
    PossibleValuesParser::new(values)
        .try_map(move |word| choice.meaning(&word).ok_or("not one of the words that were told"))
}

const AFTER_HELP: &str = "\
A flag goes over its environment variable, which goes over the file, which goes over the default.
Keys of the file, but for those of listeners, have variables too, such as DUNLIN_LIMITS_MAX_PACKET_SIZE
for limits.max_packet_size; --print-config names each. DUNLIN_USER and DUNLIN_USER_PASSWORD_FILE (a
file whose first line is the password) are a user beside those of auth.password_file.

  dunlin                                           for yourself, on this machine
  dunlin --listen :1883 --allow-anonymous          for anyone who can reach this machine
  dunlin init house                                for a house: a configuration, a password, certificates
  dunlin --data-dir /var/lib/dunlin                what is acknowledged survives a power cut
  dunlin --listen tls://0.0.0.0 --certificate server.pem --key server.key --allow-anonymous
  dunlin --listen 127.0.0.1:0 --ready-file ready   for a test: a free port, written to a file
  dunlin --print-config > dunlin.toml              a configuration to begin with
  dunlin --config dunlin.toml --check              check a configuration
  dunlin passwd passwords alice                    a user, or a new password of one";

#[cfg(test)]
mod tests {
    use super::{super::settings::Config, *};

    fn cli(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_from_args(["dunlin"].iter().chain(args))
    }

    #[test]
    fn the_command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        for arg in Cli::command().get_arguments() {
            match arg.get_long() {
                Some(long) => {
                    let name = long.to_uppercase().replace('-', "_");
                    assert_eq!(arg.get_env().unwrap(), &*format!("DUNLIN_{name}"));
                }
                // Kubernetes sets DUNLIN_PORT; -v is what --log-level says; -d is of one start
                None => {
                    assert!(["port", "verbose", "detach"].contains(&arg.get_id().as_str()) && arg.get_env().is_none())
                }
            }
        }
    }

    #[test]
    fn flags_override_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        let text = "allow_anonymous = true\nworkers = 2\nready_file = 'a'\nlistener = [{ address = '127.0.0.1:1' }]\n\
                    [log]\nlevel = 'warn'\nformat = 'json'\n[limits]\nmax_connections = 7\n";
        std::fs::write(&file, text).unwrap();
        let file = format!("--config={}", file.display());

        let mut as_written = cli(&[&file]).unwrap().resolve().unwrap();
        // one for each variable that the tests alone read, such as DUNLIN_LONG
        as_written.warnings.clear();
        let ready_file = Some(dir.path().join("a"));
        assert_eq!(as_written, Config { ready_file, ..super::super::parse(text, "a.toml").unwrap() });

        let all =
            ["--listen=127.0.0.1:2", "--listen", "127.0.0.1:0,127.0.0.1:0", "--allow-anonymous=false", "--workers=3"];
        let rest = ["--ready-file=b", "--log-level=debug", "--log-format=text", &file];
        let over = cli(&[&all[..], &rest].concat()).unwrap().resolve().unwrap();
        assert_eq!(
            over.listeners.iter().map(|l| l.address.to_string()).collect::<Vec<_>>(),
            ["127.0.0.1:2", "127.0.0.1:0", "127.0.0.1:0"]
        );
        assert_eq!((over.allow_anonymous, over.workers, over.limits.max_connections), (Some(false), Some(3), 7));
        assert_eq!(over.ready_file, Some("b".into()));
        assert_eq!((over.log.level, over.log.format), (LogLevel::Debug, LogFormat::Text));
    }

    #[test]
    fn a_bare_flag_allows_anonymous_and_takes_no_word_after_it() {
        assert_eq!(cli(&["--allow-anonymous"]).unwrap().allow_anonymous, Some(Some(true)));
        assert_eq!(cli(&["--allow-anonymous=loopback"]).unwrap().allow_anonymous, Some(None));
        assert_eq!(cli(&[]).unwrap().allow_anonymous, None);
        assert!(cli(&["--allow-anonymous", "false"]).is_err());
    }

    #[test]
    fn the_ready_file_is_found_although_flags_are_invalid() {
        let of = |args: &[&str]| Cli::ready_file_of(["dunlin"].iter().chain(args).map(Into::into).collect::<Vec<_>>());
        assert_eq!(of(&["--lissen", "--ready-file", "a"]), Some("a".into()));
        assert_eq!(of(&["--ready-file=b", "--lissen"]), Some("b".into()));
        for args in [&["--lissen"][..], &["--ready-file=a", "--check"], &["passwd", "--ready-file=a"]] {
            assert_eq!(of(args), None, "{args:?}");
        }
    }

    #[test]
    fn short_flags_of_other_brokers_are_accepted() {
        let resolved = |args: &[&str]| cli(args).unwrap().resolve().unwrap();
        let addresses = |config: Config| config.listeners.iter().map(|l| l.address.to_string()).collect::<Vec<_>>();
        assert_eq!(addresses(resolved(&["-p", "1884"])), ["127.0.0.1:1884", "[::1]:1884"]);
        assert_eq!(addresses(resolved(&["-p1", "--listen=:2"])), ["0.0.0.0:2", "[::]:2", "127.0.0.1:1", "[::1]:1"]);
        assert_eq!(cli(&["-c", "a"]).unwrap(), cli(&["--config=a"]).unwrap());
        for (args, level) in [
            (&["-v"][..], LogLevel::Debug),
            (&["-v", "--log-level=trace"], LogLevel::Trace),
            (&["-v", "--log-level=error"], LogLevel::Debug),
            (&["--log-level=warning"], LogLevel::Warn),
            (&["--log-level=INFO"], LogLevel::Info),
        ] {
            assert_eq!(resolved(args).log.level, level, "{args:?}");
        }
    }

    #[test]
    fn the_first_existing_file_of_dunlin_config_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        let list = std::env::join_paths([&first, &second]).unwrap();
        assert_eq!(first_of(list.as_ref()), second, "an error names it");
        std::fs::write(&second, "").unwrap();
        assert_eq!(first_of(list.as_ref()), second);
        std::fs::write(&first, "").unwrap();
        assert_eq!(first_of(list.as_ref()), first);
        assert_eq!(first_of("a".as_ref()), Path::new("a"));
    }

    #[test]
    fn one_address_twice_is_an_error() {
        let error = cli(&["--listen=1883", "--listen=[::1]:1883"]).unwrap().resolve().unwrap_err();
        assert_eq!(error.to_string(), "--listen (DUNLIN_LISTEN): [::1]:1883 appears twice; remove one of them");
    }

    #[test]
    fn tls_on_the_command_line_needs_its_files() {
        let both = ["--certificate=c", "--key=k"];
        let listeners = cli(&["--listen=wss://1.1.1.1,2", both[0], both[1]]).unwrap().resolve().unwrap().listeners;
        let shown: Vec<_> = listeners.iter().map(|l| (l.name(), &l.key_file)).collect();
        let key = Some("k".into());
        let expected = [("wss://1.1.1.1:8084", &key), ("127.0.0.1:2", &None), ("[::1]:2", &None)];
        assert_eq!(shown, expected.map(|(address, key)| (address.to_owned(), key)));
        for (args, beginning) in [
            (&["--listen=tls://1.1.1.1"][..], "--listen (DUNLIN_LISTEN): tls://1.1.1.1 needs --certificate FILE"),
            (&["--listen=1", both[0], both[1]], "--certificate (DUNLIN_CERTIFICATE): it is for --listen tls://"),
        ] {
            let error = cli(args).unwrap().resolve().unwrap_err().to_string();
            assert!(error.starts_with(beginning), "{error}");
        }
    }

    #[test]
    fn an_invalid_flag_is_refused_with_the_allowed_values() {
        let table: &[(&str, &str)] = &[
            ("--workers=0", "invalid value '0' for '--workers <N>': 0 is out of range; allowed: 1 to 1024"),
            ("--workers=many", "invalid value 'many' for '--workers <N>': expected a whole number"),
            ("--log-level=loud", "[possible values: error, warn, info, debug, trace]"),
            (
                "--listen=http://127.0.0.1",
                "write mqtt:// (or tcp://), mqtts:// (or tls://), ws://, wss:// or unix:/path",
            ),
            ("-p70000", "invalid value '70000' for '-p <PORT>': 70000 is not in 0..=65535"),
            ("--certificate=c", "the following required arguments were not provided:\n  --key <FILE>"),
            ("--allow-anonymous=maybe", "invalid value 'maybe' for '--allow-anonymous[=<true|false>]'"),
            ("--lissen=1", "a similar argument exists: '--listen'"),
        ];
        for (flag, expected) in table {
            let error = cli(&[flag]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flag}");
            assert!(error.to_string().contains(expected), "{flag}: {error}");
        }
    }
}
