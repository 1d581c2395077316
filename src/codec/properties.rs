//! [`Properties`]: the properties of an MQTT 5 packet (section 2.2.2 there).
//!
//! They are validated as a whole when the packet is decoded, and passed on as bytes. A property is parsed when a caller
//! asks for it.

use std::fmt;

use smallvec::SmallVec;

use super::{
    Carrier, DecodeError, Field, PacketType, PropertyId,
    cursor::Cursor,
    property::{Kind, Rule, rule_of},
};

/// The properties of a packet, as on the wire, without their length, and valid for the packet; empty before MQTT 5.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
    /// Bit n is set if there is a property with the identifier n.
    there: u64,
}

/// The value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyValue<'a> {
    /// A byte that is 0 or 1.
    Flag(bool),
    /// Any of the integers.
    Number(u32),
    /// UTF-8 Encoded String.
    Text(&'a str),
    /// Binary Data.
    Bytes(&'a [u8]),
    /// UTF-8 String Pair: name and value.
    Pair(&'a str, &'a str),
}

impl<'a> Properties<'a> {
    /// Takes the properties of a packet, beginning with their length, from the front of its rest.
    pub(super) fn read(cursor: &mut Cursor<'a>, carrier: Carrier) -> Result<Self, DecodeError> {
        Self::read_again(cursor, carrier, Self::default)
    }

    /// The same with `known` valid properties of the same packet type: if they are equal, they are not validated again.
    #[inline]
    pub(super) fn read_again<'k>(
        cursor: &mut Cursor<'a>,
        carrier: Carrier,
        known: impl FnOnce() -> Properties<'k>,
    ) -> Result<Self, DecodeError> {
        // the length of no properties
        if cursor.take_zero() { Ok(Self::default()) } else { Self::read_some(cursor, carrier, &known()) }
    }

    fn read_some(cursor: &mut Cursor<'a>, carrier: Carrier, known: &Properties<'_>) -> Result<Self, DecodeError> {
        let length = cursor.variable(Field::PropertyLength)?;
        let bytes = cursor.take(length as usize, Field::Properties)?;
        if bytes == known.bytes {
            return Ok(Self { bytes, there: known.there });
        }
        Self::checked(bytes, carrier)
    }

    /// `bytes`: without their length.
    fn checked(bytes: &'a [u8], carrier: Carrier) -> Result<Self, DecodeError> {
        let (mut cursor, mut there) = (Cursor::new(bytes), 0);
        while !cursor.is_empty() {
            // an identifier is a Variable Byte Integer; all defined ones have one byte
            let id = cursor.u8(Field::Properties)?;
            let Some(rule) = rule_of(id).filter(|rule| rule.carriers & carrier.bit() != 0) else {
                return Err(DecodeError::PropertyNotAllowed { id, carrier });
            };
            let only_once = !rule.repeats || carrier == Carrier::Packet(PacketType::Subscribe) && rule.is_identifier();
            if only_once && there & 1 << id != 0 {
                return Err(DecodeError::PropertyTwice(rule.id));
            }
            there |= 1 << id;
            rule.check(&mut cursor)?;
        }
        Ok(Self { bytes, there })
    }

    /// From the bytes of valid properties, and the set of their identifiers.
    pub(crate) fn from_checked(bytes: &'a [u8], there: u64) -> Self {
        Self { bytes, there }
    }

    /// Stored properties of a PUBLISH; `None`: they are not valid.
    pub(crate) fn of_stored(bytes: &'a [u8]) -> Option<Self> {
        Self::checked(bytes, Carrier::Packet(PacketType::Publish)).ok()
    }

    /// The set of their identifiers, for [`from_checked`](Self::from_checked).
    pub(crate) fn there(&self) -> u64 {
        self.there
    }

    /// All except these, in order.
    pub fn without(&self, others: &[PropertyId]) -> PropertiesBuf {
        let mut left = PropertiesBuf::default();
        self.copy_without(others, &mut left);
        left
    }

    /// The same, appended to `left`.
    pub(crate) fn copy_without(&self, others: &[PropertyId], left: &mut PropertiesBuf) {
        let others = others.iter().fold(0, |bits, &id| bits | 1 << id as u8);
        left.there |= self.there & !others;
        // the rest is copied in as few pieces as possible
        let (mut at, mut copied, mut to_find) = (0, 0, self.there & others);
        for (rule, bytes) in self.spans() {
            if to_find == 0 {
                break;
            }
            let end = at + bytes.len();
            if others & 1 << rule.id as u8 != 0 {
                left.bytes.extend_from_slice(&self.bytes[copied..at]);
                copied = end;
                if !rule.repeats {
                    to_find &= !(1 << rule.id as u8);
                }
            }
            at = end;
        }
        left.bytes.extend_from_slice(&self.bytes[copied..]);
    }

    /// The bytes of each property, beginning with its identifier, in order, without validation.
    #[inline]
    fn spans(&self) -> impl Iterator<Item = (&'static Rule, &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (&id, value) = rest.split_first()?;
            // they were validated when they were read
            let rule = rule_of(id)?;
            let bytes;
            (bytes, rest) = rest.split_at_checked(1 + rule.value_len(value)?)?;
            Some((rule, bytes))
        })
    }

    /// Are there none?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As on the wire, without their length.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Is this property there?
    #[inline]
    pub fn has(&self, id: PropertyId) -> bool {
        self.there & 1 << id as u8 != 0
    }

    /// All properties, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PropertyId, PropertyValue<'a>)> + use<'a> {
        self.spans().map_while(|(rule, bytes)| Some((rule.id, rule.value_of(bytes)?)))
    }

    /// The value of this property; the first one if it repeats.
    pub fn get(&self, id: PropertyId) -> Option<PropertyValue<'a>> {
        if !self.has(id) {
            return None;
        }
        let (rule, bytes) = self.spans().find(|(rule, _)| rule.id == id)?;
        rule.value_of(bytes)
    }

    /// The value of an integer property.
    pub fn number(&self, id: PropertyId) -> Option<u32> {
        match self.get(id)? {
            PropertyValue::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The value of a Two Byte Integer property.
    pub fn short(&self, id: PropertyId) -> Option<u16> {
        self.number(id).and_then(|number| u16::try_from(number).ok())
    }

    /// The value of a property that is 0 or 1.
    pub fn flag(&self, id: PropertyId) -> Option<bool> {
        match self.get(id)? {
            PropertyValue::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// The value of a text property.
    pub fn text(&self, id: PropertyId) -> Option<&'a str> {
        match self.get(id)? {
            PropertyValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a binary property.
    pub fn bytes(&self, id: PropertyId) -> Option<&'a [u8]> {
        match self.get(id)? {
            PropertyValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The User Properties, name and value, in order.
    pub fn user(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|(_, value)| match value {
            PropertyValue::Pair(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The Subscription Identifiers, in order.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.iter().filter_map(|(id, value)| match value {
            PropertyValue::Number(number) if id == PropertyId::SubscriptionIdentifier => Some(number),
            _ => None,
        })
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Rule {
    fn is_identifier(&self) -> bool {
        self.id == PropertyId::SubscriptionIdentifier
    }

    /// Takes a valid value from the front, without returning it.
    #[inline]
    fn check(&self, cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
        let field = Field::Property(self.id);
        match self.kind {
            Kind::Text => cursor.check_text(field),
            Kind::Pair => cursor.check_text(field).and_then(|()| cursor.check_text(field)),
            Kind::Bytes => cursor.binary(field).map(drop),
            Kind::U16 => cursor.u16(field).map(drop),
            Kind::U32 => cursor.u32(field).map(drop),
            _ => self.value(cursor).map(drop),
        }
    }

    /// The value in these bytes, which begin with the identifier.
    fn value_of<'a>(&self, bytes: &'a [u8]) -> Option<PropertyValue<'a>> {
        self.value(&mut Cursor::new(bytes.get(1..)?)).ok()
    }

    /// Length of the value at the front; `None`: there are too few bytes.
    #[inline]
    fn value_len(&self, bytes: &[u8]) -> Option<usize> {
        let binary = |from: usize| {
            let length = bytes.get(from..)?.first_chunk()?;
            Some(from + 2 + usize::from(u16::from_be_bytes(*length)))
        };
        match self.kind {
            Kind::Flag => Some(1),
            Kind::U16 | Kind::U16Above0 => Some(2),
            Kind::U32 | Kind::U32Above0 => Some(4),
            Kind::VariableAbove0 => Some(1 + bytes.iter().position(|byte| byte & 0x80 == 0)?),
            Kind::Text | Kind::Topic | Kind::Bytes => binary(0),
            Kind::Pair => binary(binary(0)?),
        }
    }

    /// Takes the value from the front.
    fn value<'a>(&self, cursor: &mut Cursor<'a>) -> Result<PropertyValue<'a>, DecodeError> {
        let field = Field::Property(self.id);
        let number = match self.kind {
            Kind::Flag => match cursor.u8(field)? {
                0 => return Ok(PropertyValue::Flag(false)),
                1 => return Ok(PropertyValue::Flag(true)),
                value => return Err(DecodeError::PropertyOutOfRange { id: self.id, value: value.into() }),
            },
            Kind::Text => return cursor.text(field).map(PropertyValue::Text),
            Kind::Topic => return cursor.topic_name(field).map(|topic| PropertyValue::Text(topic.as_str())),
            Kind::Bytes => return cursor.binary(field).map(PropertyValue::Bytes),
            Kind::Pair => return Ok(PropertyValue::Pair(cursor.text(field)?, cursor.text(field)?)),
            Kind::U16 | Kind::U16Above0 => cursor.u16(field)?.into(),
            Kind::U32 | Kind::U32Above0 => cursor.u32(field)?,
            Kind::VariableAbove0 => cursor.variable(field)?,
        };
        if number == 0 && matches!(self.kind, Kind::U16Above0 | Kind::U32Above0 | Kind::VariableAbove0) {
            return Err(DecodeError::PropertyOutOfRange { id: self.id, value: 0 });
        }
        Ok(PropertyValue::Number(number))
    }
}

/// Properties to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf {
    /// Most messages need no allocation.
    bytes: SmallVec<[u8; 128]>,
    there: u64,
}

/// A copy.
impl From<Properties<'_>> for PropertiesBuf {
    fn from(Properties { bytes, there }: Properties<'_>) -> Self {
        Self { bytes: SmallVec::from_slice(bytes), there }
    }
}

impl PropertiesBuf {
    /// Appends a property. `false`: the value is not of the property's type, or a text is longer than 65,535 bytes, and
    /// nothing was added.
    pub fn push(&mut self, id: PropertyId, value: PropertyValue<'_>) -> bool {
        let Some(rule) = rule_of(id as u8) else { return false };
        let before = self.bytes.len();
        self.bytes.push(id as u8);
        let written = match (rule.kind, value) {
            (Kind::Flag, PropertyValue::Flag(flag)) => {
                self.bytes.push(flag.into());
                true
            }
            (Kind::U16 | Kind::U16Above0, PropertyValue::Number(number)) => match u16::try_from(number) {
                Ok(number) => {
                    self.bytes.extend_from_slice(&number.to_be_bytes());
                    true
                }
                Err(_) => false,
            },
            (Kind::U32 | Kind::U32Above0, PropertyValue::Number(number)) => {
                self.bytes.extend_from_slice(&number.to_be_bytes());
                true
            }
            (Kind::VariableAbove0, PropertyValue::Number(number)) => variable(&mut self.bytes, number),
            (Kind::Text | Kind::Topic, PropertyValue::Text(text)) => self.binary(text.as_bytes()),
            (Kind::Bytes, PropertyValue::Bytes(bytes)) => self.binary(bytes),
            (Kind::Pair, PropertyValue::Pair(name, value)) => {
                self.binary(name.as_bytes()) && self.binary(value.as_bytes())
            }
            _ => false,
        };
        if written {
            self.there |= 1 << id as u8;
        } else {
            self.bytes.truncate(before);
        }
        written
    }

    /// Appends an integer property.
    pub fn number(&mut self, id: PropertyId, number: u32) -> bool {
        self.push(id, PropertyValue::Number(number))
    }

    /// Appends a property that is 0 or 1.
    pub fn flag(&mut self, id: PropertyId, flag: bool) -> bool {
        self.push(id, PropertyValue::Flag(flag))
    }

    /// Appends a text property.
    pub fn text(&mut self, id: PropertyId, text: &str) -> bool {
        self.push(id, PropertyValue::Text(text))
    }

    /// Their length in bytes, as they are encoded.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The properties so far.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties { bytes: &self.bytes, there: self.there }
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.there = 0;
    }

    fn binary(&mut self, bytes: &[u8]) -> bool {
        let Ok(length) = u16::try_from(bytes.len()) else { return false };
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
        true
    }
}

/// Appends a Variable Byte Integer (section 1.5.5), in as few bytes as its value allows [MQTT-1.5.5-1]. `false`: the
/// value is above 268,435,455.
#[inline]
pub(super) fn variable(out: &mut impl Extend<u8>, number: u32) -> bool {
    let low = |shift: u32| (number >> shift) as u8 & 0x7F;
    match number {
        0..0x80 => out.extend([low(0)]),
        0x80..0x4000 => out.extend([low(0) | 0x80, low(7)]),
        0x4000..0x20_0000 => out.extend([low(0) | 0x80, low(7) | 0x80, low(14)]),
        0x20_0000..0x1000_0000 => out.extend([low(0) | 0x80, low(7) | 0x80, low(14) | 0x80, low(21)]),
        _ => return false,
    }
    true
}

/// Bytes of a Variable Byte Integer.
pub(super) const fn variable_len(number: usize) -> usize {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
