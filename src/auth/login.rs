//! [`Logins`]: decides a login with a password or a token, by the methods of `auth.order`. Recently compared
//! credentials are decided at once. Others wait in the queue of comparisons or for the answer of a service, and the
//! throttle delays refusals.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    slice,
    sync::{Arc, OnceLock},
    task::Poll,
    time::{Duration, SystemTime},
};

use super::{
    CLOCK_NOT_SET, Checked, Policy,
    hashing::{self, Ask, Busy, Given, Hashing},
    http::{self, AllChecks, Asked, AskedRights, Desks, Open, Outcome, Service, ServiceFigures},
    keys::{KeySets, NoKeys, TokenKeyFigures},
    known::Known,
    scram_proof::{Proof, Secret},
    tokens::{Now, Tokens},
};
use crate::{
    clock::Clock,
    codec::ReasonCode,
    router::{Admitted, Credentials, Identity, Refusal, Rights, Verdict},
    types::{ClientId, LoginWay},
};

/// The state of logins, and the threads for comparisons.
pub(super) struct Logins {
    clock: Clock,
    known: Arc<Known>,
    secret: Secret,
    desks: Desks,
    checks: AllChecks,
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

/// A refusal that has not been delayed yet.
enum Refused {
    /// For this reason, after this delay.
    Wrong(&'static str, Duration),
    /// Nobody could decide.
    Unavailable(&'static str),
}

/// The longest time that a login waits for delayed refusals of others from its address.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const DOWN: &str = "a login service is down (auth.http)";
const UNKNOWN: &str = "no login service knows it (auth.http)";
const BUSY: &str = "too many logins wait for a login service (auth.http, auth.token_introspection_url)";
const NO_PROVIDER: &str = "the provider of tokens is down (auth.token_introspection_url)";
const NOT_ACTIVE: &str = "the token is not active (auth.token_introspection_url)";
const ANOTHER_USER: &str = "the user name is not the one in the token (auth.token_user_claim)";
const NO_KEYS: &str =
    "the keys of tokens cannot be fetched, and its token names one that is not known (auth.token_jwks_url)";
const TOO_MANY_KEYS: &str =
    "too many logins wait for keys of tokens, and its token names one that is not known (auth.token_jwks_url)";
const TOO_MANY: &str =
    "too many logins wait to be looked at, and too many of its address failed (auth.failed_login_delay)";

impl Logins {
    pub(super) fn new(clock: Clock) -> Self {
        let (desks, keys) = (Desks::new(clock.clone()), KeySets::new(clock.clone()));
        let checks = AllChecks::new(clock.clone());
        Self { clock, known: Arc::default(), secret: Secret::default(), desks, checks, keys, hashing: OnceLock::new() }
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
            Some((at, way)) => match policy.asks(way, password).cloned() {
                Some(service) => self.elsewhere(service, policy, Asked::about(credentials, user, password), at),
                None => self.verdict_by(way, policy, credentials, user, password),
            },
            None => self.verdict_by(LoginWay::Files, policy, credentials, user, password),
        }
    }

    /// The verdict on a token that is known to be one. No other method is tried.
    pub(super) fn verdict_on_token(
        self: &Arc<Self>,
        policy: Arc<Policy>,
        credentials: &Credentials<'_>,
        user: Option<&str>,
        token: &[u8],
    ) -> Verdict {
        match policy.asks(LoginWay::Token, token).cloned() {
            Some(provider) => {
                let asked = Asked { is_token: true, ..Asked::about(credentials, user, token) };
                let at = policy.settings.order.iter().position(|way| *way == LoginWay::Token);
                self.elsewhere(provider, policy, asked, at.unwrap_or_default())
            }
            None => self.verdict_by(LoginWay::Token, policy, credentials, user, token),
        }
    }

    /// The verdict by this service, then by others of the order from this place.
    fn elsewhere(self: &Arc<Self>, service: Arc<Service>, policy: Arc<Policy>, asked: Asked, at: usize) -> Verdict {
        let asks_about_will = asked.will.is_some() && service.checks_topics();
        if !asks_about_will
            && let Some(Outcome::Yes(identity)) =
                self.desks.accepts(&service, &asked, policy.settings.failed_login_delay)
            && let Ok(identity) = named(identity, &service, &asked)
        {
            return Ok(identity).into();
        }
        let decided = self.clone().in_order(policy, Arc::new(asked), at);
        Verdict::Queued(Box::pin(async { decided.await.into() }))
    }

    /// Tries the methods of the order from this place. Every service that did not know a refused login counts it as a
    /// wrong guess.
    async fn in_order(self: Arc<Self>, policy: Arc<Policy>, asked: Arc<Asked>, from: usize) -> Checked {
        let mut open = Open::default();
        match self.decide(&policy, &asked, from, &mut open).await {
            Ok(identity) => {
                open.right();
                Ok(identity)
            }
            Err(Refused::Unavailable(why)) => {
                open.right();
                Err(unavailable(why))
            }
            Err(Refused::Wrong(why, delay)) => refuse(self.clock.clone(), why, delay.max(open.wrong())).await,
        }
    }

    async fn decide(
        &self,
        policy: &Arc<Policy>,
        asked: &Arc<Asked>,
        mut from: usize,
        open: &mut Open,
    ) -> Result<Identity, Refused> {
        let first = policy.settings.failed_login_delay;
        let (user, password) = (asked.user.as_deref(), &*asked.password);
        let (mut why, mut undecided) = (UNKNOWN, None);
        let way = |from| match asked.is_token {
            true => Some((from, LoginWay::Token)),
            false => policy.way(from, user, password),
        };
        while let Some((at, way)) = way(from) {
            let services = match (way, policy.asks(way, password)) {
                (LoginWay::Http, _) => &*policy.services,
                (_, Some(_)) if !self.clock.is_set() && (asked.is_token || Tokens::is_one(password)) => {
                    return Err(Refused::Unavailable(CLOCK_NOT_SET));
                }
                // it may be the password of a user whom a later method knows
                (_, Some(_)) if !self.clock.is_set() => {
                    (undecided, from) = (Some(CLOCK_NOT_SET), at + 1);
                    continue;
                }
                (_, Some(provider)) => slice::from_ref(provider),
                (_, None) => {
                    let given =
                        Given::Password { password: password.into(), tag: self.known.tag(way, user, password), way };
                    let Asked { client, user, address, .. } = &**asked;
                    let (client, user) = (client.clone(), user.clone());
                    return self
                        .compare(Ask { policy: policy.clone(), address: *address, client, user, given }, first)
                        .await;
                }
            };
            for service in services {
                match self.desks.ask(service, asked, first).await {
                    Outcome::Yes(identity) => {
                        let named = named(identity, service, asked);
                        let identity = named.map_err(|why| Refused::Wrong(why, first.unwrap_or_default()))?;
                        return Ok(self.with_will(identity, service, asked).await);
                    }
                    Outcome::No(why, delay) => return Err(Refused::Wrong(why, delay)),
                    Outcome::Next(guess) => open.add(guess, first),
                    Outcome::Down if service.settings().next_if_down => undecided = Some(DOWN),
                    Outcome::Down => {
                        return Err(Refused::Unavailable(if way == LoginWay::Http { DOWN } else { NO_PROVIDER }));
                    }
                    Outcome::Busy => return Err(Refused::Unavailable(BUSY)),
                }
            }
            why = if way == LoginWay::Http { UNKNOWN } else { NOT_ACTIVE };
            if asked.is_token || (way == LoginWay::Token && Tokens::is_one(password)) {
                break;
            }
            from = at + 1;
        }
        Err(undecided.map_or(Refused::Wrong(why, Duration::ZERO), Refused::Unavailable))
    }

    /// Asks about the topic of a client's Will.
    async fn with_will(&self, identity: Identity, service: &Arc<Service>, asked: &Arc<Asked>) -> Identity {
        let (Some(will), Some(shown)) = (&asked.will, http::Shown::of(&identity)) else { return identity };
        if !service.checks_topics() || shown.yes.superuser {
            return identity;
        }
        let checks = self.checks.of(service);
        let may =
            poll_fn(|cx| checks.ask_to_publish(service, asked, will, cx.waker()).map_or(Poll::Pending, Poll::Ready));
        let may = may.await;
        let shown = shown.checked(asked.address, may.then(|| will.clone()));
        Identity { evidence: Some(Arc::new(shown)), ..identity }
    }

    /// The rights of a client about whose topics the service is asked that accepted it. `rest`: those by the rules of
    /// the broker.
    pub(super) fn asked_rights(
        &self,
        policy: &Policy,
        client: &ClientId,
        identity: &Identity,
    ) -> Option<Arc<dyn Rights>> {
        let shown = identity.evidence.clone()?.downcast::<http::Shown>().ok()?;
        let service = shown.service(&policy.services);
        let checks = self.checks.of(&service);
        let rest = policy.rights(client, identity);
        Some(Arc::new(AskedRights::new(shown, (service, checks), (client, identity), rest)))
    }

    /// The figures of the services of a policy.
    pub(super) fn service_figures(&self, policy: &Policy) -> Vec<ServiceFigures> {
        let all: Vec<_> = policy.services.iter().chain(&policy.introspection).cloned().collect();
        let mut figures = self.desks.figures(&all);
        for (figures, service) in figures.iter_mut().zip(&all).filter(|(_, service)| service.checks_topics()) {
            let checks = self.checks.of(service);
            figures.checks = checks.figures();
            let (down, error) = checks.failure();
            figures.down |= down;
            let at = |error: &Option<(String, SystemTime)>| error.as_ref().map(|(_, at)| *at);
            if at(&error) > at(&figures.error) {
                figures.error = error;
            }
        }
        figures
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
        match self.compare(ask, first).await {
            Ok(identity) => Ok(identity),
            Err(Refused::Unavailable(why)) => Err(unavailable(why)),
            Err(Refused::Wrong(why, delay)) => refuse(self.clock.clone(), why, delay).await,
        }
    }

    async fn compare(&self, ask: Ask, first: Option<Duration>) -> Result<Identity, Refused> {
        if let (Given::Password { password, way: LoginWay::Token, .. }, Some(tokens)) = (&ask.given, &ask.policy.tokens)
        {
            let ready = self.keys.ready(tokens, password, ask.address).await;
            ready.map_err(|why| Refused::Unavailable(if why == NoKeys::Down { NO_KEYS } else { TOO_MANY_KEYS }))?;
        }
        let hashing = self.hashing().ok_or(Refused::Unavailable("there are no threads to compare passwords on"))?;
        let mut ticket = hashing.ask(ask).map_err(|Busy| Refused::Unavailable(TOO_MANY))?;
        let answer = loop {
            let answer = self.clock.timeout(LONGEST_WAIT, pin!(ticket.answer())).await;
            match answer {
                Ok(answer) => break answer,
                Err(_) if first.is_some_and(|first| ticket.is_held_up(first)) => {
                    return Err(Refused::Unavailable(TOO_MANY));
                }
                Err(_) => {}
            }
        };
        drop(ticket);
        match answer.ok_or(Refused::Unavailable("the comparison of its password ended without an answer"))? {
            (Ok(identity), _) => Ok(identity),
            (Err(why), delay) => Err(Refused::Wrong(why, delay)),
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

/// The identity of a client that a service accepted. A token may name its user; it must be the one that the client
/// gives, if any.
fn named(identity: Identity, service: &Service, asked: &Asked) -> Result<Identity, &'static str> {
    match (service.is_introspection(), identity.user.is_some(), &asked.user) {
        (true, true, Some(_)) if identity.user != asked.user => Err(ANOTHER_USER),
        (true, true, _) => Ok(identity),
        _ => {
            let shown = http::Shown::of(&identity).filter(|_| service.checks_topics());
            let shown = shown.map(|shown| Arc::new(shown.checked(asked.address, None)) as Arc<_>);
            let evidence = shown.or(identity.evidence);
            Ok(Identity { user: asked.user.clone(), evidence, ..identity })
        }
    }
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
