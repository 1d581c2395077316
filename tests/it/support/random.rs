//! [`Random`]: seeded random numbers.

/// Numbers that are the same in each run (xorshift64*).
pub struct Random(u64);

impl Random {
    /// The seed is not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    /// Once in `times`.
    #[allow(dead_code)] // `tests/crash` has it
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// An independent generator.
    #[allow(dead_code)] // `tests/crash` has it
    pub fn fork(&mut self) -> Self {
        Self::new((self.below(1 << 30) as u64) << 30 | self.below(1 << 30) as u64 | 1)
    }

    #[allow(dead_code)] // others have no use for it
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..1 + self.below(most)).map(|_| self.below(256) as u8).collect()
    }
}
