//! Numbers of seven bits a byte, the lowest first (LEB128), and a [`Reader`] that trusts no length.

/// Why bytes cannot be decoded.
pub(crate) type Why = &'static str;

/// Appends a number: one byte below 128, at most ten.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes, preceded by their length.
#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the bytes that `write` appends, preceded by their length.
pub(crate) fn put_sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        let mut begin = Vec::with_capacity(10);
        put(&mut begin, length as u64);
        out.splice(at..=at, begin);
    }
}

/// Reads numbers and bytes from the front of untrusted bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Why> {
        let (&first, rest) = self.0.split_first().ok_or("ends too early")?;
        self.0 = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Why> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("has a number beyond 64 bits")
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Why> {
        let count = usize::try_from(self.number()?).map_err(|_| "has a length beyond its end")?;
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("has a length beyond its end")?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Why> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "has text that is not UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_back(number in any::<u64>(), shift in 0..64) {
            let number = number >> shift;
            let mut out = Vec::new();
            put(&mut out, number);
            prop_assert_eq!(Reader(&out).number(), Ok(number));
            for cut in 0..out.len() {
                prop_assert!(Reader(&out[..cut]).number().is_err());
            }
        }

        #[test]
        fn no_bytes_make_a_varint_panic(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            while reader.bytes().is_ok() && !reader.0.is_empty() {}
            let _ = Reader(&bytes).number();
            let _ = Reader(&bytes).text();
        }
    }

    #[test]
    fn a_number_has_64_bits_at_most() {
        let mut out = Vec::new();
        put(&mut out, u64::MAX);
        assert_eq!(Reader(&out).number(), Ok(u64::MAX));
        assert!(Reader(&[0xFF; 10]).number().is_err());
        assert!(Reader(&[0x80; 11]).number().is_err());
    }
}
