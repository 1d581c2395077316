//! Every route below `/test/v1/`.

use axum::http::Method;

use super::{
    call::{Answering, Call},
    expecting, faults, replaying, steering,
};

/// A route.
pub(super) struct Route {
    /// Path below `/test/v1/`.
    pub(super) path: &'static str,
    pub(super) method: Method,
    /// May it wait for long? Such requests have their own limit.
    pub(super) waits: bool,
    pub(super) run: fn(Call) -> Answering,
}

macro_rules! route {
    ($method:ident $path:literal $run:path) => {
        Route { path: $path, method: Method::$method, waits: false, run: |call| Box::pin($run(call)) }
    };
    (waits $method:ident $path:literal $run:path) => {
        Route { path: $path, method: Method::$method, waits: true, run: |call| Box::pin($run(call)) }
    };
}

pub(super) static ROUTES: [Route; 15] = [
    route!(GET "clock" steering::now),
    route!(waits POST "clock" steering::clock),
    route!(waits POST "reset" steering::reset),
    route!(waits POST "idle" steering::idle),
    route!(waits POST "expect" expecting::expect),
    route!(POST "faults" faults::set),
    route!(GET "faults" faults::all),
    route!(DELETE "faults" faults::remove),
    route!(GET "presets" faults::presets),
    route!(waits POST "restart" steering::restart),
    route!(waits POST "snapshot" steering::snapshot),
    route!(waits POST "restore" steering::restore),
    route!(waits POST "seed" steering::seed),
    route!(waits POST "replay" replaying::replay),
    route!(GET "events" steering::events),
];
