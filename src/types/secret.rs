//! [`Secret`]: a text that is never shown.

use std::fmt;

/// A text that is never shown: its `Debug` is [`Secret::HIDDEN`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(pub String);

impl Secret {
    /// The text that is shown instead.
    pub const HIDDEN: &'static str = "(hidden)";
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}
