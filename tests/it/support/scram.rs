//! The client of SCRAM, written from RFC 5802 and RFC 7677, independent of the broker's code.

use std::io::{Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};

use super::{
    five::{Connect, Properties, property},
    raw::frame,
};

/// The hash of a mechanism. That of RFC 5802 itself is not served: its example shows that this client is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// The Authentication Method.
    pub fn method(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
    }

    fn h(self, text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, text).as_ref().to_vec()
    }

    /// `Hi` of RFC 5802 section 2.2.
    fn hi(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut u = self.hmac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut result = u.clone();
        for _ in 1..iterations {
            u = self.hmac(password, &u);
            result = xor(&result, &u);
        }
        result
    }
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// One exchange of a client.
#[derive(Clone)]
pub struct Scram {
    pub hash: Hash,
    password: String,
    /// `client-first-message`: the header, then this.
    bare: String,
    nonce: String,
    /// What `server-final-message` has to be.
    expected: String,
}

impl Scram {
    pub fn new(hash: Hash, user: &str, password: &str) -> Self {
        let mut nonce = [0; 18];
        SystemRandom::new().fill(&mut nonce).unwrap();
        Self::with_nonce(hash, user, password, &BASE64.encode(nonce))
    }

    pub fn with_nonce(hash: Hash, user: &str, password: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { hash, password: password.into(), bare, nonce: nonce.into(), expected: String::new() }
    }

    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Salt and iterations of a challenge, which continues this client's nonce.
    #[track_caller]
    pub fn costs(&self, challenge: &str) -> (String, u32) {
        let fields: Vec<_> = challenge.split(',').collect();
        let [nonce, salt, iterations] = fields[..] else { panic!("a challenge: {challenge}") };
        let nonce = nonce.strip_prefix("r=").expect("a nonce");
        assert!(nonce.starts_with(&self.nonce) && nonce.len() >= self.nonce.len() + 16, "{challenge}");
        (salt.strip_prefix("s=").expect("a salt").into(), iterations.strip_prefix("i=").unwrap().parse().unwrap())
    }

    /// The answer to a challenge.
    #[track_caller]
    pub fn last(&mut self, challenge: &str) -> String {
        let (salt, iterations) = self.costs(challenge);
        let nonce = challenge.split(',').next().unwrap();
        let salted = self.hash.hi(self.password.as_bytes(), &BASE64.decode(salt).expect("a salt"), iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,{nonce}");
        let message = format!("{},{challenge},{without_proof}", self.bare);
        let signature = self.hash.hmac(&self.hash.h(&client_key), message.as_bytes());
        let server_key = self.hash.hmac(&salted, b"Server Key");
        self.expected = format!("v={}", BASE64.encode(self.hash.hmac(&server_key, message.as_bytes())));
        format!("{without_proof},p={}", BASE64.encode(xor(&client_key, &signature)))
    }

    /// The server knows the password, too.
    #[track_caller]
    pub fn expect_proof(&self, last: &str) {
        assert_eq!(last, self.expected);
    }
}

/// The properties of a method in CONNECT and AUTH.
pub fn says(method: &str, data: impl AsRef<[u8]>) -> Properties {
    Properties::new().text(property::AUTHENTICATION_METHOD, method).text(property::AUTHENTICATION_DATA, data)
}

/// An AUTH.
pub fn auth(reason: u8, properties: &Properties) -> Vec<u8> {
    frame(0xF0, &[&[reason][..], &properties.framed()].concat())
}

/// A packet: its first byte and the bytes after its length.
pub fn packet(stream: &mut impl Read) -> (u8, Vec<u8>) {
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a packet");
        byte[0]
    };
    let (first, mut length) = (byte(), 0);
    for shift in [0, 7, 14, 21] {
        let next = byte();
        length |= usize::from(next & 0x7F) << shift;
        if next & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a whole packet");
    (first, body)
}

/// Logs in with this CONNECT, to which the method is added: the Reason Code of CONNACK and its properties.
#[track_caller]
pub fn log_in(stream: &mut (impl Read + Write), connect: &Connect, scram: &mut Scram) -> (u8, Properties) {
    let method = scram.hash.method();
    let properties = Properties([connect.properties.0.clone(), says(method, scram.first()).0].concat());
    stream.write_all(&connect.clone().with(properties).frame()).unwrap();
    let (first, body) = packet(stream);
    assert_eq!((first, body[0]), (0xF0, 0x18), "AUTH is expected: {body:02x?}");
    let (challenge, _) = Properties::split(&body[1..]);
    assert_eq!(challenge.ids(), [property::AUTHENTICATION_METHOD, property::AUTHENTICATION_DATA]);
    assert_eq!(challenge.string(property::AUTHENTICATION_METHOD).as_deref(), Some(method));
    let last = scram.last(&challenge.string(property::AUTHENTICATION_DATA).unwrap());
    stream.write_all(&auth(0x18, &says(method, last))).unwrap();
    let (first, body) = packet(stream);
    assert_eq!(first, 0x20, "CONNACK is expected: {body:02x?}");
    let (properties, _) = Properties::split(&body[2..]);
    if body[1] == 0 {
        assert_eq!(properties.string(property::AUTHENTICATION_METHOD).as_deref(), Some(method));
        scram.expect_proof(&properties.string(property::AUTHENTICATION_DATA).expect("the server's proof"));
    }
    (body[1], properties)
}
