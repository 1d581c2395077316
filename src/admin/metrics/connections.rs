//! Connections by listener and by reason of their end; logins by method.

use std::{collections::BTreeMap, fmt};

use super::{super::state::State, numbers::Numbers};
use crate::{
    router::{LoginMethod, OfListener, Router},
    session::CloseReason,
};

pub(super) fn collect(out: &mut Numbers<'_>, state: &State, router: &Router) -> fmt::Result {
    let counted = router.counters().connections();
    let of_listeners = by_name(state, &counted.listeners);
    let open = of_listeners.iter().map(|(name, of)| (name.as_str(), of.open));
    out.gauges("connections", "Connected clients, by listener", "listener", open)?;
    let opened = of_listeners.iter().map(|(name, of)| (name.as_str(), of.opened));
    let help = "Accepted CONNECTs, by listener";
    out.counters("connections_opened", help, "listener", opened)?;
    let closed = CloseReason::KINDS.iter().map(|kind| (*kind, counted.closed.get(kind).copied().unwrap_or(0)));
    out.counters("connections_closed", "Closed connections, by reason", "reason", closed)?;
    let results = LoginMethod::ALL.into_iter().flat_map(|method| [(method, true), (method, false)]);
    let logins = results.map(|(method, admitted)| {
        let count = counted.logins.get(&(method, admitted)).copied().unwrap_or(0);
        ([method.name(), if admitted { "accepted" } else { "refused" }], count)
    });
    let help = "Logins, by method";
    out.counters_by_two("authentications", help, ["method", "result"], logins)?;
    let times = router.counters().login_times().distribution();
    out.histogram("authentication_seconds", "Time from CONNECT to the decision about the login", &times)
}

/// By the addresses of listeners. A closed listener keeps its name while it has connections, if a scrape saw it while
/// it was open.
fn by_name(state: &State, counted: &BTreeMap<u16, OfListener>) -> BTreeMap<String, OfListener> {
    let open = state.desk.get().map(|desk| desk.control.listeners()).unwrap_or_default();
    let mut names = state.listeners.lock();
    names.extend(open);
    let mut all: BTreeMap<String, OfListener> = BTreeMap::new();
    let named = names.iter().map(|(number, name)| (*number, name.clone()));
    let unnamed = counted.keys().filter(|number| !names.contains_key(number)).map(|number| (*number, "closed".into()));
    for (number, name) in named.chain(unnamed) {
        let OfListener { opened, open } = counted.get(&number).copied().unwrap_or_default();
        let sum = all.entry(name).or_default();
        sum.opened += opened;
        sum.open += open;
    }
    all
}
