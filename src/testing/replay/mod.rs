//! `dunlin replay`: one client publishes the messages of a recording again, at the recorded times.
//!
//! | module | owns |
//! |---|---|
//! | this one | the options, from the command line to the connection |
//! | `read` | a recording, as a list of messages |
//! | `publish` | one connection: PUBLISH packets and their acknowledgements |
//! | `here` | a replay at the bench itself: `POST /test/v1/replay` |

mod here;
mod publish;
mod read;

use std::{collections::BTreeMap, fmt, fs, io, io::BufRead, path::Path, pin::pin, time::Duration};

use thiserror::Error;

use super::recording::{RecordingError, open};
use crate::{
    clock::{Clock, Stopwatch},
    codec::{Connect, PacketType, Properties, ReasonCode},
    config::{ReplayArgs, Rewrite, Speed},
    outbound::{
        Accepted, ClientTls, ConnectError, Line, NotAccepted, Target, TlsOptions, USER_TIMEOUT, connect, load_tls,
        log_in,
    },
    topic::TopicFilter,
    types::ProtocolVersion,
};
pub(super) use here::Here;
use publish::Publishing;
use read::Message;

/// The result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Messages that were sent.
    pub sent: u64,
    /// Number of refused ones by Reason Code.
    pub refused: BTreeMap<u8, u64>,
    /// Messages that were not sent, because they are larger than the broker accepts.
    pub too_large: u64,
    /// Messages that were not sent, because their topic or payload is not in the recording.
    pub left_out: u64,
    /// Duration of the replay.
    pub took: Duration,
}

impl Replayed {
    /// Did the broker accept all messages?
    pub fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.too_large == 0 && self.left_out == 0
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, refused, too_large, left_out, took } = self;
        write!(f, "{sent} messages sent in {:.3} s", took.as_secs_f64())?;
        for (code, number) in refused {
            match ReasonCode::from_byte(*code, PacketType::Pubrec) {
                Some(reason) => write!(f, "; refused: {number} (0x{code:02x}, {reason})")?,
                None => write!(f, "; refused: {number} (0x{code:02x})")?,
            }
        }
        if *too_large > 0 {
            write!(f, "; not sent: {too_large}, which are larger than the broker accepts")?;
        }
        if *left_out > 0 {
            write!(
                f,
                "; not sent: {left_out}, whose topic or payload is not in the recording (a trace needs payloads)"
            )?;
        }
        Ok(())
    }
}

/// Why a replay ended early.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// An option is not valid.
    #[error("{0}")]
    Option(String),
    /// The connection failed.
    #[error("{to}: {why}")]
    Connect {
        /// The broker.
        to: String,
        /// The reason.
        why: String,
    },
    /// The connection was lost.
    #[error("{to}: {why}, after {sent} messages; not acknowledged: {waiting}")]
    Lost {
        /// The broker.
        to: String,
        /// The reason.
        why: String,
        /// Number of sent messages.
        sent: u64,
        /// Number of QoS 1 and 2 messages without an acknowledgement, which the broker may have or not.
        waiting: usize,
    },
}

/// Time limit from TCP to CONNACK.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
const KEEP_ALIVE: u16 = 60;

/// Publishes the messages of a recording. Returns when the broker has acknowledged all of them.
pub async fn replay(args: &ReplayArgs) -> Result<Replayed, ReplayError> {
    let ReplayArgs { recording, to, speed, filter, rewrite, user, password_file, ca_file } = args;
    let password = password_file.as_ref().map(|path| {
        let wrong = |error: io::Error| ReplayError::Option(format!("--password-file {}: {error}", path.display()));
        fs::read(path).map_err(wrong).map(|text| text.trim_ascii_end().to_vec())
    });
    let password = password.transpose()?;
    let read = |error| RecordingError::Read { path: recording.clone(), error };
    let plan = Plan::read(recording, open(recording).map_err(read)?, filter, rewrite)?;
    let target = Target {
        transport: to.transport,
        host: to.host.clone(),
        port: to.port,
        path: to.path.clone(),
        from: None,
        user_timeout: USER_TIMEOUT,
    };
    let to = to.to_string();
    let tls = load_tls(&target, &TlsOptions { authorities: ca_file.clone(), ..TlsOptions::default() })
        .map_err(|why| ReplayError::Connect { to: to.clone(), why })?;
    let client_id = format!("dunlin-replay-{}", std::process::id());
    plan.play(&Place { target, to, tls, client_id, user: user.as_deref(), password: password.as_deref() }, *speed).await
}

/// The messages to publish.
pub(super) struct Plan {
    messages: Vec<Message>,
    left_out: u64,
}

/// The broker, and the login.
pub(super) struct Place<'a> {
    pub(super) target: Target,
    /// The broker in errors.
    pub(super) to: String,
    pub(super) tls: Option<ClientTls>,
    pub(super) client_id: String,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

impl Plan {
    /// Reads a recording. `name`: its name in errors.
    pub(super) fn read(
        name: &Path,
        recording: impl BufRead,
        filter: &[String],
        rewrite: &[Rewrite],
    ) -> Result<Self, ReplayError> {
        let filters = filter.iter().map(|filter| match TopicFilter::new(filter) {
            Ok(filter) => Ok(filter),
            Err(error) => Err(ReplayError::Option(format!("filter: {filter:?} is not a Topic Filter: it {error}"))),
        });
        let filters = filters.collect::<Result<Vec<_>, _>>()?;
        let (mut messages, left_out) = read::messages(name, recording, &filters)?;
        messages.iter_mut().try_for_each(|message| rewritten(message, rewrite))?;
        Ok(Self { messages, left_out })
    }

    /// Publishes the messages. Returns when the broker has acknowledged all of them.
    pub(super) async fn play(&self, place: &Place<'_>, speed: Speed) -> Result<Replayed, ReplayError> {
        let (clock, took) = (Clock::system(), Stopwatch::start());
        let (line, version, accepted, read) = place.log_in(&clock).await?;
        let mut publishing = Publishing::new(&self.messages, speed, version, accepted, clock);
        match publishing.run(line, read).await {
            Ok(()) => Ok(Replayed { took: took.took(), left_out: self.left_out, ..publishing.replayed() }),
            Err(why) => {
                let (sent, waiting) = (publishing.replayed().sent, publishing.waiting());
                Err(ReplayError::Lost { to: place.to.clone(), why, sent, waiting })
            }
        }
    }
}

/// An accepted connection, and bytes that came after its CONNACK.
type LoggedIn = (Box<dyn Line>, ProtocolVersion, Accepted, Vec<u8>);

impl Place<'_> {
    /// Connects by MQTT 5, or by 3.1.1 to a broker without MQTT 5.
    async fn log_in(&self, clock: &Clock) -> Result<LoggedIn, ReplayError> {
        let failed = |why: String| ReplayError::Connect { to: self.to.clone(), why };
        let mut version = ProtocolVersion::V5;
        loop {
            let mut line = connect(&self.target, self.tls.as_ref(), clock, (CONNECTS_WITHIN, &[]))
                .await
                .map_err(|why: ConnectError| failed(why.to_string()))?;
            let connect = Connect {
                version,
                bridge: false,
                clean_session: true,
                keep_alive: KEEP_ALIVE,
                client_id: &self.client_id,
                will: None,
                username: self.user,
                password: self.password,
                properties: Properties::default(),
            };
            let mut read = Vec::new();
            let answered = clock.timeout(CONNECTS_WITHIN, pin!(log_in(&mut *line, connect, &mut read))).await;
            match answered {
                Ok(Ok(accepted)) => return Ok((line, version, accepted, read)),
                Ok(Err(NotAccepted::Version(_) | NotAccepted::Closed)) if version == ProtocolVersion::V5 => {
                    version = ProtocolVersion::V311;
                }
                Ok(Err(why)) => return Err(failed(why.to_string())),
                Err(_) => return Err(failed(format!("no answer to CONNECT within {} s", CONNECTS_WITHIN.as_secs()))),
            }
        }
    }
}

/// Replaces the beginning of a topic by the first rule that matches.
fn rewritten(message: &mut Message, rules: &[Rewrite]) -> Result<(), ReplayError> {
    let fits = |rule: &Rewrite| message.topic.strip_prefix(&*rule.from).map(|rest| format!("{}{rest}", rule.to));
    let Some(topic) = rules.iter().find_map(fits) else { return Ok(()) };
    if let Err(error) = crate::topic::TopicName::new(&topic) {
        let before = &message.topic;
        return Err(ReplayError::Option(format!("rewrite: {topic:?} of {before:?} is not a Topic Name: it {error}")));
    }
    message.topic = topic.into();
    Ok(())
}
