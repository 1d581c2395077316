//! [`Failure`]: the last error of a webhook or a file sink, and whether it lasts.

use std::time::SystemTime;

/// The last error.
#[derive(Clone, Default)]
pub(super) struct Failure {
    /// With its time.
    pub error: Option<(String, SystemTime)>,
    /// The last attempt failed, and that was logged.
    pub lasts: bool,
}

impl Failure {
    /// An attempt failed. `true`: this failure is to be logged, because the attempt before succeeded or failed for
    /// another reason.
    pub(super) fn fails(&mut self, why: &str, now: SystemTime) -> bool {
        let is_same = self.error.as_ref().is_some_and(|(before, _)| before == why) && self.lasts;
        (self.error, self.lasts) = (Some((why.into(), now)), true);
        !is_same
    }

    /// An attempt succeeded. `true`: the one before failed.
    pub(super) fn works(&mut self) -> bool {
        std::mem::take(&mut self.lasts)
    }
}
