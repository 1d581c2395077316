//! [`Place`] and [`Steps`]: walks over a tree that can be interrupted and continued, so that no walk takes long.

/// Where an interrupted walk continues. It stays valid while its node is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node to visit next.
    pub(super) node: u32,
    /// Its depth in levels.
    pub(super) depth: u32,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Walked {
    /// Everything was visited.
    Whole,
    /// `f` ended it.
    Broken,
    /// It was interrupted here, because no steps were left.
    Left(Place),
}

/// Number of steps that a walk may take.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    left: u32,
    taken: u32,
}

impl Steps {
    /// This number of steps.
    pub const fn new(left: u32) -> Self {
        Self { left, taken: 0 }
    }

    /// Any number of steps.
    pub const fn unbounded() -> Self {
        Self::new(u32::MAX)
    }

    /// Takes steps, at most those that are left. `false`: none were left.
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

    /// Number of steps that were taken.
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
