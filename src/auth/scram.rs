//! SCRAM (RFC 5802, RFC 7677): the keys of a user, and the comparison of a client's proof. `scram_exchange` has the
//! messages.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

/// A supported mechanism, without channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Sha256,
    Sha512,
}

/// The keys that a client's proof is compared with. They do not allow a login.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) mechanism: Mechanism,
    pub(super) salt: Box<[u8]>,
    pub(super) iterations: NonZeroU32,
    pub(super) stored: Box<[u8]>,
    pub(super) server: Box<[u8]>,
}

/// The client's cost of a SCRAM login, and the length of the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    pub(super) iterations: NonZeroU32,
    pub(super) salt: usize,
}

impl Mechanism {
    /// The mechanism with this Authentication Method.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "SCRAM-SHA-256" => Some(Self::Sha256),
            "SCRAM-SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Bytes of a key.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Sha256 => digest::SHA256_OUTPUT_LEN,
            Self::Sha512 => digest::SHA512_OUTPUT_LEN,
        }
    }

    /// `SaltedPassword`: slow by design.
    fn salted(self, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.length()];
        pbkdf2::derive(algorithm, iterations, salt, password, &mut salted);
        salted
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    fn hash(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

impl Keys {
    /// The keys of a password, which is not prepared: `dunlin passwd --scram` accepts only passwords that SASLprep (RFC
    /// 4013) does not change.
    pub(super) fn of_password(mechanism: Mechanism, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        Self::of_salted(mechanism, &mechanism.salted(password, salt, iterations), salt, iterations)
    }

    /// The keys of a `SaltedPassword`.
    pub(super) fn of_salted(mechanism: Mechanism, salted: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let client = mechanism.hmac(salted, b"Client Key");
        Self {
            mechanism,
            salt: salt.into(),
            iterations,
            stored: mechanism.hash(client.as_ref()).as_ref().into(),
            server: mechanism.hmac(salted, b"Server Key").as_ref().into(),
        }
    }

    /// Does this proof show that the client knows the password? `message`: the `AuthMessage` of the exchange.
    pub(super) fn is_proof(&self, message: &[u8], proof: &[u8]) -> bool {
        let signature = self.mechanism.hmac(&self.stored, message);
        if proof.len() != signature.as_ref().len() {
            return false;
        }
        let client: Vec<u8> = signature.as_ref().iter().zip(proof).map(|(signed, proof)| signed ^ proof).collect();
        self.mechanism.hash(&client).as_ref().ct_eq(&self.stored).into()
    }

    /// The signature by which the server proves that it knows the user.
    pub(super) fn signature(&self, message: &[u8]) -> hmac::Tag {
        self.mechanism.hmac(&self.server, message)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    use super::*;

    /// RFC 7677 section 3: user "user", password "pencil".
    #[test]
    fn the_example_of_rfc_7677() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = Keys::of_password(Mechanism::Sha256, b"pencil", &salt, NonZeroU32::new(4096).unwrap());
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let mut proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        assert!(keys.is_proof(message.as_bytes(), &proof));
        let signature = keys.signature(message.as_bytes());
        assert_eq!(BASE64.encode(signature.as_ref()), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        // of another exchange, and not whole
        assert!(!keys.is_proof(&message.as_bytes()[1..], &proof));
        assert!(!keys.is_proof(message.as_bytes(), &proof[1..]) && !keys.is_proof(message.as_bytes(), b""));
        proof[0] ^= 1;
        assert!(!keys.is_proof(message.as_bytes(), &proof));
    }
}
