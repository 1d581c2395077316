//! [`Sampler`]: of which messages it is measured how long they take: of one in 64 on each thread, and of the first.

/// Measured is one in so many.
const ONE_IN: u64 = 64;

/// Which messages are measured.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    /// Messages that still come before the next one.
    left: u64,
    taken: usize,
}

impl Sampler {
    /// How many were measured.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// So many messages came in a turn: is one of them measured?
    #[inline]
    pub(crate) fn takes(&mut self, messages: u64) -> bool {
        match self.left.checked_sub(messages) {
            Some(left) => {
                self.left = left;
                false
            }
            None => {
                let beyond = messages - self.left - 1;
                self.left = ONE_IN - 1 - beyond % ONE_IN;
                self.taken = self.taken.wrapping_add(1);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_64_is_measured_and_at_most_one_of_a_turn() {
        let mut sampler = Sampler::default();
        let taken: Vec<_> = (0..200).filter(|_| sampler.takes(1)).collect();
        assert_eq!(taken, [0, 64, 128, 192]);
        assert!(!sampler.takes(0));
        let mut sampler = Sampler::default();
        assert!(sampler.takes(1_000));
        let next = (1_000..).find(|_| sampler.takes(1));
        assert_eq!(next, Some(1_024));
    }
}
