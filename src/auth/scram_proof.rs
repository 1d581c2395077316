//! SCRAM proofs that wait for comparison, and decoy challenges for unknown users.

use std::sync::Arc;

use ring::{hmac, rand::SystemRandom};

use super::{
    known::Wrong,
    password::Hash,
    proven_by_password,
    scram::{Cost, Keys, Mechanism},
};
use crate::router::Identity;

/// A proof that waits for comparison.
pub(super) struct Proof {
    pub(super) keys: Keys,
    pub(super) hash: Option<Arc<Hash>>,
    pub(super) message: String,
    pub(super) proof: Vec<u8>,
}

/// The secret of this process from which challenges for unknown users are derived.
pub(super) struct Secret(hmac::Key);

impl Proof {
    /// The client's identity, if it knows the password.
    pub(super) fn check(&self, user: &str) -> Result<Identity, Wrong> {
        let wrong = |why| Err(Wrong { why, compared: None });
        // takes as long for an unknown user
        match (self.keys.is_proof(self.message.as_bytes(), &self.proof), &self.hash) {
            (true, Some(hash)) => Ok(proven_by_password(user, hash.clone())),
            (false, Some(_)) => wrong("wrong password, by SCRAM (auth.password_file)"),
            (_, None) => wrong("no such user, or none whose line serves SCRAM (auth.password_file)"),
        }
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self(hmac::Key::generate(hmac::HMAC_SHA512, &SystemRandom::new()).expect("the system gives random bytes"))
    }
}

impl Secret {
    fn of(&self, purpose: &str, mechanism: Mechanism, user: &str) -> hmac::Tag {
        hmac::sign(&self.0, format!("{purpose} {mechanism:?} {user}").as_bytes())
    }

    /// Keys without a password, for an unknown user: always the same in this process, as long as the file has users
    /// with the same costs.
    pub(super) fn decoy(&self, mechanism: Mechanism, user: &str, costs: &[Cost]) -> Option<Keys> {
        let place = self.of("cost", mechanism, user);
        let number = place.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let cost = costs.get((number % costs.len().max(1) as u64) as usize)?;
        let salt = self.of("salt", mechanism, user);
        let salted = self.of("password", mechanism, user);
        let length = cost.salt.min(salt.as_ref().len());
        Some(Keys::of_salted(mechanism, salted.as_ref(), &salt.as_ref()[..length], cost.iterations))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_scram_exchange_of_an_unknown_user_always_has_the_same_salt() {
        let cost = |iterations, salt| Cost { iterations: NonZeroU32::new(iterations).unwrap(), salt };
        let (secret, costs) = (Secret::default(), [cost(4096, 16), cost(10_000, 12)]);
        let of = |secret: &Secret, user: &str| secret.decoy(Mechanism::Sha256, user, &costs).unwrap();
        assert!(of(&secret, "eve") == of(&secret, "eve"));
        assert!(of(&secret, "eve").salt != of(&secret, "eva").salt);
        assert!(of(&secret, "eve").salt != of(&Secret::default(), "eve").salt);
        assert!(secret.decoy(Mechanism::Sha512, "eve", &costs).unwrap().salt != of(&secret, "eve").salt);
        let costs: Vec<_> =
            (0..100).map(|n| of(&secret, &n.to_string())).map(|k| (k.iterations, k.salt.len())).collect();
        let count = |of: Cost| costs.iter().filter(|cost| **cost == (of.iterations, of.salt)).count();
        assert_eq!(count(cost(4096, 16)) + count(cost(10_000, 12)), 100);
        assert!(count(cost(4096, 16)) > 20 && count(cost(10_000, 12)) > 20);
    }
}
