//! [`Logins`]: decides a login with a password or a token. Recently compared credentials are decided at once. Others
//! wait in the queue of comparisons or for the answer of a service, and the throttle delays refusals.

use std::{
    net::IpAddr,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    Checked, Policy,
    hashing::{self, Ask, Busy, Given, Hashing},
    http::{Asked, Desks, Outcome, ServiceFigures, Throttled},
    keys::{KeySets, NoKeys, TokenKeyFigures},
    known::Known,
    scram_proof::{Proof, Secret},
    tokens::Now,
};
use crate::{
    clock::Clock,
    codec::ReasonCode,
    router::{Admitted, Credentials, Identity, Refusal, Verdict},
    types::LoginWay,
};

/// The state of logins, and the threads for comparisons.
pub(super) struct Logins {
    clock: Clock,
    known: Arc<Known>,
    secret: Secret,
    desks: Desks,
    keys: KeySets,
    /// Started by the first login.
    hashing: OnceLock<Option<Hashing>>,
}

/// The client of a login, for the throttle and the log.
pub(super) struct Proves {
    address: IpAddr,
    client: Box<str>,
}

impl Proves {
    pub(super) fn of(credentials: &Credentials<'_>) -> Self {
        Self { address: credentials.peer.address.ip(), client: credentials.client_id.into() }
    }
}

/// The longest time that a login waits for delayed refusals of others from its address.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const DOWN: &str = "a login service is down (auth.http)";
const NO_KEYS: &str =
    "the keys of tokens cannot be fetched, and its token names one that is not known (auth.token_jwks_url)";
const TOO_MANY_KEYS: &str =
    "too many logins wait for keys of tokens, and its token names one that is not known (auth.token_jwks_url)";
const TOO_MANY: &str =
    "too many logins wait to be looked at, and too many of its address failed (auth.failed_login_delay)";

impl Logins {
    pub(super) fn new(clock: Clock) -> Self {
        let (desks, keys) = (Desks::new(clock.clone()), KeySets::new(clock.clone()));
        Self { clock, known: Arc::default(), secret: Secret::default(), desks, keys, hashing: OnceLock::new() }
    }

    /// The verdict on `user` with this `password`.
    pub(super) fn verdict(
        self: &Arc<Self>,
        policy: Arc<Policy>,
        credentials: &Credentials<'_>,
        user: Option<&str>,
        password: &[u8],
    ) -> Verdict {
        match policy.way(0, user, password) {
            Some((at, LoginWay::Http)) => self.by_services(policy, credentials, user, password, at),
            Some((_, way)) => self.verdict_by(way, policy, credentials, user, password),
            None => self.verdict_by(LoginWay::Files, policy, credentials, user, password),
        }
    }

    /// The same, by services, which are at this place of the order.
    fn by_services(
        self: &Arc<Self>,
        policy: Arc<Policy>,
        credentials: &Credentials<'_>,
        user: Option<&str>,
        password: &[u8],
        at: usize,
    ) -> Verdict {
        let asked = Asked {
            client: credentials.client_id.into(),
            user: user.map(Into::into),
            password: password.into(),
            address: credentials.peer.address.ip(),
            listener: credentials.peer.listener,
            version: credentials.version,
        };
        let behind = policy.way(at + 1, user, password).map(|(_, way)| way);
        let throttled = throttled(&policy, 0, behind);
        if let Some(service) = policy.services.first()
            && let Some(Outcome::Yes(identity)) = self.desks.known(service, &asked, throttled)
        {
            return Ok(Identity { user: asked.user, ..identity }).into();
        }
        let decided = self.clone().ask_services(policy, Arc::new(asked), behind);
        Verdict::Queued(Box::pin(async { decided.await.into() }))
    }

    /// Asks one service after the other; then the way `behind` them decides.
    async fn ask_services(
        self: Arc<Self>,
        policy: Arc<Policy>,
        asked: Arc<Asked>,
        behind: Option<LoginWay>,
    ) -> Checked {
        let (mut delay, mut down) = (Duration::ZERO, false);
        for (at, service) in policy.services.iter().enumerate() {
            match self.desks.ask(service, &asked, throttled(&policy, at, behind)).await {
                Outcome::Yes(identity) => return Ok(Identity { user: asked.user.clone(), ..identity }),
                Outcome::No(delay) => {
                    return refuse(self.clock.clone(), "a login service refuses it (auth.http)", delay).await;
                }
                Outcome::Next(longer) => delay = delay.max(longer),
                Outcome::Down if service.settings().next_if_down => down = true,
                Outcome::Down => return Err(unavailable(DOWN)),
                Outcome::Busy => return Err(unavailable("too many logins wait for a login service (auth.http)")),
            }
        }
        match behind {
            Some(way) => {
                let Asked { client, user, password, address, .. } = &*asked;
                let (tag, first) = (self.known.tag(way, user.as_deref(), password), policy.settings.failed_login_delay);
                let given = Given::Password { password: password.clone(), tag, way };
                let ask = Ask { policy, address: *address, client: client.clone(), user: user.clone(), given };
                self.compared(ask, first).await
            }
            None if down => Err(unavailable(DOWN)),
            None => refuse(self.clock.clone(), "no login service knows it (auth.http)", delay).await,
        }
    }

    /// The figures of the services of a policy.
    pub(super) fn service_figures(&self, policy: &Policy) -> Vec<ServiceFigures> {
        self.desks.figures(&policy.services)
    }

    /// The figures of the keys of tokens of a policy.
    pub(super) fn token_key_figures(&self, policy: &Policy) -> Option<TokenKeyFigures> {
        policy.tokens.as_ref().and_then(|tokens| self.keys.figures(tokens))
    }

    /// The verdict by users or tokens of this broker.
    pub(super) fn verdict_by(
        self: &Arc<Self>,
        way: LoginWay,
        policy: Arc<Policy>,
        credentials: &Credentials<'_>,
        user: Option<&str>,
        password: &[u8],
    ) -> Verdict {
        let (tag, now) = (self.known.tag(way, user, password), Now::of(&self.clock));
        if let Some(identity) = self.known.right(&tag, &policy, user, now) {
            if let (LoginWay::Token, Some(tokens)) = (way, &policy.tokens) {
                self.keys.used(tokens);
            }
            return Ok(identity).into();
        }
        let first = policy.settings.failed_login_delay;
        if let Some(why) = self.known.wrong(&tag, &policy, user, now.monotonic()) {
            let refused = refuse(self.clock.clone(), why, first.unwrap_or_default());
            return Verdict::Queued(Box::pin(async { refused.await.into() }));
        }
        let Proves { address, client } = Proves::of(credentials);
        let (user, given) = (user.map(Into::into), Given::Password { password: password.to_vec(), tag, way });
        let ask = Ask { policy, address, client, user, given };
        let compared = self.clone().compared(ask, first);
        Verdict::Queued(Box::pin(async { compared.await.into() }))
    }

    /// The verdict on `user` with this proof. If it is right, the client gets `told`. A proof is valid once, so it is
    /// not cached.
    pub(super) fn proof(
        self: Arc<Self>,
        policy: Arc<Policy>,
        Proves { address, client }: Proves,
        user: Box<str>,
        proof: Proof,
        told: Vec<u8>,
    ) -> Verdict {
        let first = policy.settings.failed_login_delay;
        let ask = Ask { policy, address, client, user: Some(user), given: Given::Proof(Box::new(proof)) };
        let compared = self.compared(ask, first);
        Verdict::Queued(Box::pin(async move {
            Verdict::Decided(compared.await.map(|identity| Admitted { identity, data: Some(told) }))
        }))
    }

    /// The secret from which challenges for unknown users are derived.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The clock for the expiry of tokens.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Number of logins that wait.
    pub(super) fn waiting(&self) -> usize {
        self.hashing.get().and_then(Option::as_ref).map_or(0, Hashing::waiting)
            + self.desks.waiting()
            + self.keys.waiting()
    }

    async fn compared(self: Arc<Self>, ask: Ask, first: Option<Duration>) -> Checked {
        if let (Given::Password { password, way: LoginWay::Token, .. }, Some(tokens)) = (&ask.given, &ask.policy.tokens)
        {
            let ready = self.keys.ready(tokens, password, ask.address).await;
            ready.map_err(|why| unavailable(if why == NoKeys::Down { NO_KEYS } else { TOO_MANY_KEYS }))?;
        }
        let hashing = self.hashing().ok_or(unavailable("there are no threads to compare passwords on"))?;
        let mut ticket = hashing.ask(ask).map_err(|Busy| unavailable(TOO_MANY))?;
        let answer = loop {
            let answer = self.clock.timeout(LONGEST_WAIT, pin!(ticket.answer())).await;
            match answer {
                Ok(answer) => break answer,
                Err(_) if first.is_some_and(|first| ticket.is_held_up(first)) => return Err(unavailable(TOO_MANY)),
                Err(_) => {}
            }
        };
        drop(ticket);
        match answer.ok_or(unavailable("the comparison of its password ended without an answer"))? {
            (Ok(identity), _) => Ok(identity),
            (Err(why), delay) => refuse(self.clock.clone(), why, delay).await,
        }
    }

    /// The threads; `None`: the system could not start them.
    fn hashing(&self) -> Option<&Hashing> {
        let start = || Hashing::start(hashing::default_threads(), self.known.clone(), self.clock.clone());
        let started = self.hashing.get_or_init(|| {
            start().inspect_err(|error| tracing::error!(%error, "cannot start the threads that compare passwords")).ok()
        });
        started.as_ref()
    }
}

/// How refusals of the service at this place are delayed.
fn throttled(policy: &Policy, at: usize, behind: Option<LoginWay>) -> Throttled {
    let is_last = at + 1 == policy.services.len() && behind.is_none();
    Throttled { first: policy.settings.failed_login_delay, is_last }
}

async fn refuse(clock: Clock, why: &'static str, delay: Duration) -> Checked {
    if !delay.is_zero() {
        clock.sleep(delay).await;
    }
    Err(Refusal::new(ReasonCode::BadUserNameOrPassword, why))
}

fn unavailable(why: &'static str) -> Refusal {
    Refusal::new(ReasonCode::ServerUnavailable, why)
}
