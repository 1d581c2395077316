//! Odd lines of password files, and the logins that they allow.

/// What becomes of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    LetIn,
    Refused,
    /// The file is an error that names the line: dunlin does not start.
    Error,
}

/// A file, a login, and what mosquitto and dunlin make of it.
pub struct Odd {
    pub file: &'static str,
    pub user: &'static str,
    pub password: &'static str,
    pub mosquitto: Outcome,
    pub dunlin: Outcome,
}

use Outcome::{Error, LetIn, Refused};

/// A line by which both do the same.
const fn both(file: &'static str, user: &'static str, password: &'static str, outcome: Outcome) -> Odd {
    Odd { file, user, password, mosquitto: outcome, dunlin: outcome }
}

/// A line that mosquitto makes something of, and that is an error here.
const fn error(file: &'static str, user: &'static str, password: &'static str, mosquitto: Outcome) -> Odd {
    Odd { file, user, password, mosquitto, dunlin: Error }
}

/// `HASH` is one of "secret", `OTHER` one of "other", `EMPTY` and `EMPTY7` are of an empty password.
pub const ODD: &[Odd] = &[
    both("bob:EMPTY", "bob", "", Refused),
    both("bob:EMPTY7", "bob", "", Refused),
    both("bob:EMPTY", "bob", "x", Refused),
    both("bob:EMPTY\nalice:HASH", "alice", "secret", LetIn),
    both("bob:HASH", "bob", "", Refused),
    both("bob:HASH\r\n", "bob", "secret", LetIn),
    both("  bob  :  HASH", "bob", "secret", LetIn),
    both("bob:HASH  ", "bob", "secret", LetIn),
    both("bob:HASH:rest", "bob", "secret", LetIn),
    both("bob smith:HASH", "bob smith", "secret", LetIn),
    both("böb:HASH", "böb", "secret", LetIn),
    both("\n\n   \nbob:HASH", "bob", "secret", LetIn),
    both("#bob:HASH", "#bob", "secret", Refused),
    both("\u{FEFF}# comment\nbob:HASH", "bob", "secret", LetIn),
    // mosquitto locks out the first user of such a file without a message
    Odd { file: "\u{FEFF}bob:HASH", user: "bob", password: "secret", mosquitto: Refused, dunlin: LetIn },
    error("bob\nalice:HASH", "alice", "secret", LetIn),
    error("bob:\nalice:HASH", "bob", "", Refused),
    error("bob:secret\nalice:HASH", "bob", "secret", Refused),
    error(":HASH\nalice:HASH", "alice", "secret", LetIn),
    error("bob:HASH\nbob:OTHER", "bob", "secret", Refused),
    error("bob:HASH\nbob:OTHER", "bob", "other", LetIn),
    error(" #bob:HASH", "#bob", "secret", LetIn),
    error("\tbob:HASH", "bob", "secret", LetIn),
    error("bob:$6$AAAA\nalice:HASH", "alice", "secret", LetIn),
    error("bob:$9$AAAA$AAAA\nalice:HASH", "alice", "secret", LetIn),
];

/// The file with its hashes put in.
pub fn filled(file: &str) -> String {
    let hashes = [("EMPTY7", EMPTY7), ("EMPTY", EMPTY), ("HASH", HASH), ("OTHER", OTHER)];
    hashes.iter().fold(file.to_owned(), |file, (name, hash)| file.replace(name, hash))
}

const HASH: &str =
    "$6$c2FsdHNhbHRzYWx0$3aiBbchfIZo+1WYrkPzJjQxZ79F/NmwLQ+wF073kTd+6ANhaic8G/jWF/X4sqSFUKpLNdm1FZjBck6HQ8knM3A==";
const OTHER: &str =
    "$6$c2FsdHNhbHRzYWx0$pSQuywa0XgRh+/vYYh+uyj76+biMstndZ3lr3PYJhgzTFwmcsKRvI08hZNsKWzyYaQXvMGHh6R0oqdeDjMzJCw==";
const EMPTY: &str =
    "$6$c2FsdHNhbHRzYWx0$91u3tEqyfiR5wtvBIqedQOkhPvGbhd4r6TToPZiVlTOfWeas5jnhB8j9vwrixehEURVY6YpNbnmNP1IH3MujAQ==";
const EMPTY7: &str =
    "$7$101$c2FsdHNhbHRzYWx0$YGccB43UySWesQJ6JtSy5YCRyaItXPvSxOnYziYKc8edCSw0kU8ujzY1AkaMSPvVpx1gAHnXKFT0bI1Txql1SA==";
