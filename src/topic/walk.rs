//! [`Place`] and [`Steps`]: walks over a tree that can be left and taken up again, so that no walk takes long in one
//! go. Owns neither tree nor walk.

/// Where a walk that was left goes on. While its node is pinned, it stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node that is looked at next.
    pub(super) node: u32,
    /// Levels down to it.
    pub(super) depth: u32,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Walked {
    /// All was seen.
    Whole,
    /// It was ended.
    Broken,
    /// It was left here, since all its steps were taken.
    Left(Place),
}

/// How much more a walk may do.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    left: u32,
    taken: u32,
}

impl Steps {
    /// So many.
    pub const fn new(left: u32) -> Self {
        Self { left, taken: 0 }
    }

    /// As many as there are.
    pub const fn unbounded() -> Self {
        Self::new(u32::MAX)
    }

    /// Takes so many, or as many as there are; `false`: there were none.
    #[inline]
    pub fn take(&mut self, steps: u32) -> bool {
        if self.left == 0 {
            return false;
        }
        let steps = steps.min(self.left);
        self.left -= steps;
        self.taken += steps;
        true
    }

    /// How many were taken.
    pub const fn taken(&self) -> u32 {
        self.taken
    }
}

impl Default for Place {
    /// The beginning: the root.
    fn default() -> Self {
        Self { node: super::tree::ROOT, depth: 0 }
    }
}
