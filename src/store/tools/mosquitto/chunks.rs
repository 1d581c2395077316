//! The chunks of a `mosquitto.db` of version 6, which mosquitto 2.0 writes: bytes to [`Chunk`]s. The import interprets
//! them.

/// Why a database cannot be imported. Nothing of it is imported then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// It does not begin like a database.
    #[error("this is not a database of mosquitto")]
    Magic,
    /// It has another version.
    #[error(
        "it has version {0}, and version 6 is read, which mosquitto 2.0 writes: start mosquitto 2.0 once with it, end it, and try \
         again"
    )]
    Version(u32),
    /// It, or an item in it, ends too early.
    #[error("it is cut short or damaged at byte {0}")]
    Short(usize),
    /// A text is not UTF-8.
    #[error("the text at byte {0} is not UTF-8: it is damaged")]
    Text(usize),
    /// Its first chunk is of the wrong kind.
    #[error("it does not begin as mosquitto writes it: it is damaged")]
    First,
    /// The size of its message ids is of another machine.
    #[error("it has message ids of {0} bytes, and 8 are read: it is damaged, or of a machine of another kind")]
    Ids(u8),
    /// It contains a message id twice.
    #[error("it has message {0} twice: it is damaged")]
    Twice(u64),
}

/// A chunk that the import uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk<'a> {
    Message(Message<'a>),
    Entry(Entry<'a>),
    Retained { message: u64 },
    Subscription { client: &'a str, filter: &'a str, qos: u8, options: u8, identifier: u32 },
    Client { client: &'a str, ends: i64, expiry: u32 },
}

/// A message, stored once for all clients that it is queued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub id: u64,
    /// Seconds since 1970; 0: it does not expire.
    pub expires: i64,
    pub client: &'a str,
    pub user: &'a str,
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: u8,
    pub retain: bool,
    /// MQTT 5 properties, without their length.
    pub properties: &'a [u8],
}

/// A message that is queued or in flight for a client, or that the client sent and has not released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub client: &'a str,
    pub message: u64,
    pub packet_id: u16,
    pub qos: u8,
    pub state: u8,
    pub retain: bool,
    /// From the broker to the client.
    pub outgoing: bool,
    pub properties: &'a [u8],
}

/// Reads all chunks.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Chunk<'_>>, DatabaseError> {
    const MAGIC: &[u8] = b"\0\xb5\0mosquitto db";
    let mut file = Part { bytes, at: 0, begins: 0 };
    if file.take(MAGIC.len()).ok() != Some(MAGIC) {
        return Err(DatabaseError::Magic);
    }
    let _checksum = file.u32()?;
    match file.u32()? {
        6 => {}
        other => return Err(DatabaseError::Version(other)),
    }
    let mut chunks = Vec::new();
    let mut is_first = true;
    while !file.is_empty() || is_first {
        let (kind, length) = (file.u32()?, file.u32()?);
        let begins = file.begins + file.at;
        let mut part = Part { bytes: file.take(length as usize)?, at: 0, begins };
        match (kind, std::mem::replace(&mut is_first, false)) {
            (1, true) => part.config()?,
            (_, true) => return Err(DatabaseError::First),
            // a later version may have further kinds
            (kind, _) => chunks.extend(part.chunk(kind)?),
        }
    }
    Ok(chunks)
}

/// Bytes, and how far they were read.
struct Part<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Their offset in the file.
    begins: usize,
}

impl<'a> Part<'a> {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DatabaseError> {
        let short = DatabaseError::Short(self.begins + self.at);
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(short)?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DatabaseError> {
        let short = DatabaseError::Short(self.begins + self.at);
        self.take(N)?.try_into().map_err(|_| short)
    }

    fn u8(&mut self) -> Result<u8, DatabaseError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, DatabaseError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DatabaseError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Numbers of 64 bits are in the byte order of the machine.
    fn u64(&mut self) -> Result<u64, DatabaseError> {
        self.array().map(u64::from_ne_bytes)
    }

    fn i64(&mut self) -> Result<i64, DatabaseError> {
        self.array().map(i64::from_ne_bytes)
    }

    fn text(&mut self, length: u16) -> Result<&'a str, DatabaseError> {
        let at = self.begins + self.at;
        std::str::from_utf8(self.take(length.into())?).map_err(|_| DatabaseError::Text(at))
    }

    /// The rest of the chunk: empty, or one block of properties with its length.
    fn properties(&mut self) -> Result<&'a [u8], DatabaseError> {
        if self.is_empty() {
            return Ok(&[]);
        }
        let short = DatabaseError::Short(self.begins + self.at);
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = self.u8()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            match byte & 0x80 {
                0 => break,
                _ if shift == 28 => return Err(short),
                _ => {}
            }
        }
        let properties = self.take(length)?;
        if self.is_empty() { Ok(properties) } else { Err(short) }
    }

    fn config(&mut self) -> Result<(), DatabaseError> {
        let (_last_id, _clean) = (self.u64()?, self.u8()?);
        match self.u8()? {
            8 => Ok(()),
            other => Err(DatabaseError::Ids(other)),
        }
    }

    /// `None`: the kind is unknown.
    fn chunk(&mut self, kind: u32) -> Result<Option<Chunk<'a>>, DatabaseError> {
        Ok(Some(match kind {
            2 => Chunk::Message(self.message()?),
            3 => Chunk::Entry(self.entry()?),
            4 => Chunk::Retained { message: self.u64()? },
            5 => {
                let identifier = self.u32()?;
                let (client, filter) = (self.u16()?, self.u16()?);
                let (qos, options, _padding) = (self.u8()?, self.u8()?, self.u16()?);
                Chunk::Subscription { client: self.text(client)?, filter: self.text(filter)?, qos, options, identifier }
            }
            6 => {
                let (ends, expiry) = (self.i64()?, self.u32()?);
                let (_last_packet_id, client, _port) = (self.u16()?, self.u16()?, self.u16()?);
                // the user behind it is not reliable: in files of 2.0.15 and before, it is another client's
                let (_user, _padding) = (self.u16()?, self.u32()?);
                Chunk::Client { client: self.text(client)?, ends, expiry }
            }
            _ => return Ok(None),
        }))
    }

    fn message(&mut self) -> Result<Message<'a>, DatabaseError> {
        let (id, expires, payload, _packet_id) = (self.u64()?, self.i64()?, self.u32()?, self.u16()?);
        let (client, user, topic, _port) = (self.u16()?, self.u16()?, self.u16()?, self.u16()?);
        let (qos, retain) = (self.u8()?, self.u8()? != 0);
        let (client, user, topic) = (self.text(client)?, self.text(user)?, self.text(topic)?);
        let payload = self.take(payload as usize)?;
        let properties = self.properties()?;
        Ok(Message { id, expires, client, user, topic, payload, qos, retain, properties })
    }

    fn entry(&mut self) -> Result<Entry<'a>, DatabaseError> {
        let (message, packet_id, client) = (self.u64()?, self.u16()?, self.u16()?);
        let (qos, state, flags, direction) = (self.u8()?, self.u8()?, self.u8()?, self.u8()?);
        let client = self.text(client)?;
        let properties = self.properties()?;
        let (retain, outgoing) = (flags & 0xf0 != 0, direction == 1);
        Ok(Entry { client, message, packet_id, qos, state, retain, outgoing, properties })
    }
}
