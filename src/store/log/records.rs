//! [`Encoder`] and [`Decoder`]: the records of a frame. Consecutive deliveries of a session are encoded as the
//! difference from the one before, since most of them are queued in a row.

use super::{
    record::{EntryState, LogRecord, MAX_SENT, NEXT_DELIVERY},
    varint::{self, Reader, Why},
};

/// Appends records to a frame.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    last: Option<Delivery<'a>>,
}

/// Takes the records of a frame off its front.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    from: Reader<'a>,
    last: Option<Delivery<'a>>,
}

/// A delivery of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delivery<'a> {
    session: u64,
    number: u64,
    entry: EntryState<'a>,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, last: None }
    }

    pub(crate) fn put(&mut self, record: &LogRecord<'a>) {
        match *record {
            LogRecord::Entry { session, number, entry } => self.delivery(session, number, entry),
            _ => record.encode(self.out),
        }
    }

    /// Appends a delivery.
    #[inline]
    pub(crate) fn delivery(&mut self, session: u64, number: u64, entry: EntryState<'a>) {
        let this = Delivery { session, number, entry };
        match self.last.and_then(|last| last.step_to(&this)) {
            Some(step) => {
                self.out.push(NEXT_DELIVERY);
                varint::put(self.out, step);
            }
            None => LogRecord::Entry { session, number, entry }.encode(self.out),
        }
        self.last = Some(this);
    }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { from: Reader(bytes), last: None }
    }

    /// Number of bytes that are not decoded yet.
    pub(crate) fn left(&self) -> usize {
        self.from.0.len()
    }

    /// Decodes the next record.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<LogRecord<'a>, Why> {
        let record = match self.from.0.first() {
            Some(&NEXT_DELIVERY) => {
                self.from.byte()?;
                let last = self.last.ok_or("continues a missing delivery")?;
                let next = last.stepped(self.from.number()?).ok_or("has a number that none has")?;
                LogRecord::Entry { session: next.session, number: next.number, entry: next.entry }
            }
            _ => LogRecord::decode(&mut self.from)?,
        };
        if let LogRecord::Entry { session, number, entry } = record {
            self.last = Some(Delivery { session, number, entry });
        }
        Ok(record)
    }
}

impl Delivery<'_> {
    /// The difference between the message numbers, if `next` follows from this delivery by [`stepped`](Self::stepped).
    #[inline]
    fn step_to(&self, next: &Self) -> Option<u64> {
        let step = next.entry.message?.checked_sub(self.entry.message?)?;
        (self.stepped(step)? == *next).then_some(step)
    }

    /// The delivery after this one, with a message number that is higher by `step`.
    #[inline]
    fn stepped(&self, step: u64) -> Option<Self> {
        let message = self.entry.message?.checked_add(step).filter(|&message| message != u64::MAX)?;
        let sent = self.entry.sent.map(|sent| sent + 1);
        let entry = EntryState { sent, message: Some(message), ..self.entry };
        let number = self.number.checked_add(1)?;
        sent.is_none_or(|sent| sent <= MAX_SENT).then_some(Self { session: self.session, number, entry })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::record::tests::examples, *};
    use crate::types::QoS;

    fn encoded(records: &[LogRecord<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes);
        records.iter().for_each(|record| encoder.put(record));
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<LogRecord<'_>>, Why> {
        let mut decoder = Decoder::new(bytes);
        let mut records = Vec::new();
        while decoder.left() > 0 {
            records.push(decoder.next()?);
        }
        Ok(records)
    }

    fn delivery(session: u64, number: u64, sent: Option<u64>, message: Option<u64>) -> LogRecord<'static> {
        let entry = EntryState { qos: QoS::AtLeastOnce, retain: false, shared: false, sent, message, identifiers: &[] };
        LogRecord::Entry { session, number, entry }
    }

    #[test]
    fn deliveries_in_a_row_take_two_bytes_each() {
        for sent in [None, Some(7)] {
            let row: Vec<_> =
                (0..10).map(|n| delivery(3, 1000 + n, sent.map(|sent| sent + n), Some(70_000 + 2 * n))).collect();
            let first = encoded(&row[..1]).len();
            let bytes = encoded(&row);
            assert_eq!(bytes.len(), first + 2 * 9);
            assert_eq!(decoded(&bytes), Ok(row));
        }
    }

    #[test]
    fn a_next_delivery_without_a_first_or_too_far_is_refused() {
        let nothing = "continues a missing delivery";
        let too_far = "has a number that none has";
        let table = [
            (None, 1, nothing),
            (Some(LogRecord::Done { session: 1, number: 1 }), 1, nothing),
            (Some(delivery(1, 1, Some(1), None)), 1, too_far),
            (Some(delivery(1, 1, None, Some(2))), u64::MAX - 2, too_far),
            (Some(delivery(1, 1, None, Some(2))), u64::MAX - 1, too_far),
            (Some(delivery(1, u64::MAX, None, Some(2))), 1, too_far),
            (Some(delivery(1, 1, Some(MAX_SENT), Some(2))), 1, too_far),
        ];
        for (before, step, why) in table {
            let mut bytes = encoded(before.as_slice());
            bytes.push(NEXT_DELIVERY);
            varint::put(&mut bytes, step);
            assert_eq!(decoded(&bytes), Err(why), "{before:?}");
        }
        assert_eq!(decoded(&[NEXT_DELIVERY]), Err(nothing));
    }

    proptest! {
        #[test]
        fn all_records_are_read_back(
            records in prop::collection::vec(
                (1..3_u64, 1..5_u64, prop::option::of(1..4_u64), prop::option::of(1..5_u64), 0..40_usize),
                0..30,
            ),
        ) {
            let others = examples();
            let records: Vec<_> = records
                .into_iter()
                .map(|(session, number, sent, message, other)| match others.get(other) {
                    Some(other) => *other,
                    // one that was never sent has a message
                    None => delivery(session, number, sent, message.or(if sent.is_none() { Some(1) } else { None })),
                })
                .collect();
            let bytes = encoded(&records);
            prop_assert_eq!(decoded(&bytes), Ok(records));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decoded(&bytes);
        }
    }
}
