//! The command line of `dunlin replay`.

use std::{path::PathBuf, str::FromStr};

use clap::Args;

use super::RemoteAddress;

/// `dunlin replay FILE --to URL`
///
/// Publishes the messages of a recording again, with one client: the messages that clients sent under "dunlin test
/// --record", those that the web console recorded, or those in the file of a sink. Tries MQTT 5 first, then 3.1.1.
/// Prints the number of sent messages, and exits with 1 if the broker refused one.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ReplayArgs {
    /// The recording: JSON lines, also compressed with gzip.
    #[arg(value_name = "FILE")]
    pub recording: PathBuf,

    /// URL of the broker, such as mqtt://localhost:1883; also mqtts://, ws:// and wss://.
    #[arg(long, value_name = "URL")]
    pub to: RemoteAddress,

    /// Speed relative to the recording, such as 10 or 0.5; "max" does not wait.
    #[arg(long, value_name = "NUMBER|max", default_value = "1")]
    pub speed: Speed,

    /// Publish only messages whose recorded topic matches this Topic Filter; may be repeated.
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,

    /// Replace the beginning FROM of topics by TO, such as site1/=test/; may be repeated, the first match counts.
    #[arg(long, value_name = "FROM=TO")]
    pub rewrite: Vec<Rewrite>,

    /// The user name.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// A file with the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,

    /// Authorities that sign the broker's certificate, PEM; by default those of this machine.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// The speed of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This number of times as fast as recorded.
    Times(f64),
    /// Without waiting.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(times) if (0.001..=1e6).contains(&times) => Ok(Self::Times(times)),
            _ => Err("allowed: a number from 0.001 to 1000000, or max".into()),
        }
    }
}

/// A change of topics.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// Beginning of a topic.
    pub from: String,
    /// Its replacement.
    pub to: String,
}

impl FromStr for Rewrite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('=').ok_or("write FROM=TO, such as site1/=test/")?;
        Ok(Self { from: from.into(), to: to.into() })
    }
}
