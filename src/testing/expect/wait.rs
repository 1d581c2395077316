//! Waits until an expectation is met or its time is over.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use super::{
    super::{bench::Bench, journal::Entry},
    asked::Expect,
    clients::{STATES, Seen},
    criteria::Criteria,
};
use crate::clock::Stopwatch;

/// The expectation is met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// Number of the last event, for `after` of the next expectation.
    pub last: u64,
    /// The selected messages.
    pub messages: Vec<Arc<Entry>>,
}

/// The expectation was not met in time, or cannot be met.
#[derive(Clone, Debug)]
pub struct Missed {
    /// The expectation itself is not valid.
    pub(in super::super) is_wrong: bool,
    /// The part that is not met.
    pub detail: String,
    /// The last messages that did arrive.
    pub arrived: Vec<Arc<Entry>>,
    /// The most similar message, and the criteria that it does not meet.
    pub nearest: Option<(Arc<Entry>, Vec<&'static str>)>,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if let Some((entry, differs)) = &self.nearest {
            write!(f, "; nearest: {} (differs in {})", super::super::shown::entry(entry), differs.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Missed {}

/// Result of a check.
enum Look {
    Met(Met),
    /// Not met yet.
    NotYet(Missed),
    /// Cannot be met any more.
    Never(Missed),
}

/// After the broker is idle, nothing may arrive for this time.
const QUIET: Duration = Duration::from_millis(200);
/// Interval of checks for conditions without an event.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Number of arrived messages in the answer.
const SHOWN: usize = 20;

impl Missed {
    fn wrong(detail: String) -> Self {
        Self { is_wrong: true, ..Self::because(detail) }
    }

    fn because(detail: String) -> Self {
        Self { is_wrong: false, detail, arrived: Vec::new(), nearest: None }
    }
}

impl Bench {
    /// Waits until the expectation is met or its time is over.
    pub(in super::super) async fn expect(&self, expect: &Expect) -> Result<Met, Missed> {
        let watch = Stopwatch::start();
        let result = self.wait_for(expect).await;
        if let Some(junit) = &self.junit {
            junit.note(expect.shown(), watch.took(), result.as_ref().err().map(ToString::to_string));
        }
        result
    }

    async fn wait_for(&self, expect: &Expect) -> Result<Met, Missed> {
        expect.check().map_err(Missed::wrong)?;
        let within = expect.within().map_err(Missed::wrong)?;
        if let Some(state) = expect.state.as_deref().filter(|state| !STATES.contains(state)) {
            return Err(Missed::wrong(format!("state: {state:?} is none of {}", STATES.join(", "))));
        }
        let criteria = Criteria::of(expect).map_err(Missed::wrong)?;
        let watch = Stopwatch::start();
        if expect.idle {
            let met = || Met { last: self.journal.last(), messages: Vec::new() };
            let busy = || Missed::because("the broker is still busy".into());
            return self.is_quiet(within).await.then(met).ok_or_else(busy);
        }
        let mut news = self.journal.news();
        loop {
            news.borrow_and_update();
            let found = match expect.is_of_client() {
                true => self.look_at_client(expect).await,
                false => self.look_at_messages(expect, &criteria),
            };
            let left = within.saturating_sub(watch.took());
            match found {
                Look::Met(met) if expect.most().is_none() => return Ok(met),
                Look::Met(met) => match self.stays_so(expect, &criteria, left, met.last).await {
                    true => return Ok(met),
                    false if left.is_zero() => {
                        return Err(Missed::because("more arrived, or the broker is still busy".into()));
                    }
                    false => continue,
                },
                Look::Never(missed) => return Err(missed),
                Look::NotYet(missed) if left.is_zero() => return Err(missed),
                Look::NotYet(_) => {}
            }
            let next = if expect.is_of_client() { left.min(LOOK_AGAIN) } else { left };
            let _ = Self::machine().timeout(next, pin!(news.changed())).await;
        }
    }

    async fn look_at_client(&self, expect: &Expect) -> Look {
        let name = expect.client.as_deref().unwrap_or_default();
        let Some(server) = self.server().await else {
            return Look::NotYet(Missed::because("the broker is not running".into()));
        };
        match Seen::look(&server, name).wrong(expect) {
            None => Look::Met(Met { last: self.journal.last(), messages: Vec::new() }),
            Some(wrong) => {
                let mut missed = Missed::because(format!("client {name:?}: {wrong}"));
                let of_client = |entry: &Arc<Entry>| entry.client.as_deref() == Some(name);
                missed.arrived = last(self.journal.after(expect.after).into_iter().filter(of_client).collect());
                Look::NotYet(missed)
            }
        }
    }

    fn look_at_messages(&self, expect: &Expect, criteria: &Criteria) -> Look {
        let all = self.journal.after(expect.after);
        let last_number = all.last().map_or(expect.after, |entry| entry.number);
        let (mut meant, mut nearest) = (Vec::new(), None::<(Arc<Entry>, Vec<&'static str>)>);
        for entry in &all {
            match criteria.differs(entry) {
                None => {}
                Some(differs) if differs.is_empty() => meant.push(entry.clone()),
                // if there are several, the last one
                Some(differs) if nearest.as_ref().is_none_or(|(_, least)| differs.len() <= least.len()) => {
                    nearest = Some((entry.clone(), differs));
                }
                Some(_) => {}
            }
        }
        let order = expect.order.as_deref().unwrap_or_default();
        let least = if expect.none { 0 } else { expect.count.unwrap_or(order.len().max(1)) };
        let detail = if expect.most().is_some_and(|most| meant.len() > most) {
            Some((
                true,
                format!("{} messages arrived, at most {} are allowed", meant.len(), expect.most().unwrap_or(0)),
            ))
        } else if meant.len() < least && !(expect.count.is_none() && expect.at_most.is_some()) {
            Some((false, format!("{} of {least} messages arrived", meant.len())))
        } else {
            missing(order, &meant).map(|missing| (false, format!("{missing:?} did not arrive in this order")))
        };
        let Some((is_final, detail)) = detail else { return Look::Met(Met { last: last_number, messages: meant }) };
        let is_such = |entry: &Arc<Entry>| criteria.differs(entry).is_some();
        let arrived = match is_final || !order.is_empty() {
            true => last(meant),
            false => last(all.into_iter().filter(is_such).collect()),
        };
        let missed = Missed { arrived, nearest, ..Missed::because(detail) };
        if is_final { Look::Never(missed) } else { Look::NotYet(missed) }
    }

    /// Waits until the broker is idle, and for a moment after. `true`: no further message was selected.
    async fn stays_so(&self, expect: &Expect, criteria: &Criteria, left: Duration, seen: u64) -> bool {
        if !self.is_quiet(left).await {
            return false;
        }
        let since = self.journal.last();
        Self::machine().sleep(QUIET).await;
        let more = Expect { after: seen, count: Some(0), at_most: Some(0), order: None, none: false, ..expect.clone() };
        // messages that arrived meanwhile and are not selected do not matter
        let nothing = matches!(self.look_at_messages(&more, criteria), Look::Met(_));
        nothing && self.journal.last() >= since
    }
}

/// The first payload of `order` that does not follow those before it.
fn missing<'a>(order: &'a [String], meant: &[Arc<Entry>]) -> Option<&'a str> {
    let mut order = order.iter();
    let mut next = order.next();
    for entry in meant {
        if let (Some(wanted), Some(payload)) = (next, entry.payload())
            && *payload == *wanted.as_bytes()
        {
            next = order.next();
        }
    }
    next.map(String::as_str)
}

fn last(mut all: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    all.drain(..all.len().saturating_sub(SHOWN));
    all
}
