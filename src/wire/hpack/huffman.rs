//! HPACK's Huffman code (RFC 7541 section 5.2 and appendix B). The code is canonical: codes of one length follow one another in
//! the order of their symbols, and shorter ones come first. So the lengths are all that has to be known.

/// Decodes a string onto the end of `text`; `None` where it is none: it holds the code for its end, or what fills up its last
/// octet is no beginning of that.
#[must_use]
pub(super) fn decode(octets: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut count) = (0_u64, 0_u32);
    for octet in octets {
        bits = bits << 8 | u64::from(*octet);
        count += 8;
        while count >= LONGEST {
            count -= take(window(bits, count), text)?;
        }
    }
    loop {
        let next = window(bits, count);
        let (_, length) = symbol(next)?;
        if length > count {
            // What is left has to be fewer than eight bits, all of them set.
            return (count < 8 && next == u32::MAX).then_some(());
        }
        count -= take(next, text)?;
    }
}

/// Takes the code that begins a window. Returns its length.
fn take(window: u32, text: &mut Vec<u8>) -> Option<u32> {
    let (symbol, length) = symbol(window)?;
    text.push(u8::try_from(symbol).ok()?);
    Some(length)
}

/// The next bits, of which there are `count`, with ones behind them.
fn window(bits: u64, count: u32) -> u32 {
    let aligned = match count {
        0..=32 => !(!bits.checked_shl(64 - count).unwrap_or(0) | u64::MAX.checked_shr(count).unwrap_or(0)) >> 32,
        _ => bits >> (count - 32),
    };
    let ones = u64::from(u32::MAX).checked_shr(count).unwrap_or(0);
    (aligned & 0xffff_ffff | ones) as u32
}

/// The symbol whose code begins a window, and the code's length.
fn symbol(window: u32) -> Option<(u16, u32)> {
    let lengths = CODE.lengths.iter();
    let (length, row) = lengths.zip(1_u32..).find_map(|(row, length)| {
        let is_of_length = u64::from(window) < row.limit;
        is_of_length.then_some((length, row))
    })?;
    let within = (window >> (32 - length)).checked_sub(row.first)?;
    let symbol = CODE.symbols.get(usize::from(row.before) + within as usize)?;
    Some((*symbol, length))
}

/// The code, by lengths.
struct Code {
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    lengths: [Row; LONGEST as usize],
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Row {
    /// The first one.
    first: u32,
    /// Symbols with shorter ones.
    before: u16,
    /// What is less than this, in the upper bits of 32, is of this length, or shorter.
    limit: u64,
}

static CODE: Code = code();

#[expect(clippy::indexing_slicing, reason = "it is evaluated when compiled, and would not compile")]
const fn code() -> Code {
    let mut code = Code { symbols: [0; 257], lengths: [Row { first: 0, before: 0, limit: 0 }; LONGEST as usize] };
    let (mut next, mut before) = (0_u32, 0_usize);
    let mut length = 1;
    while length <= LONGEST {
        next <<= 1;
        let (first, start) = (next, before);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as u32 == length {
                code.symbols[before] = symbol as u16;
                before += 1;
                next += 1;
            }
            symbol += 1;
        }
        let limit = (next as u64) << (32 - length);
        code.lengths[length as usize - 1] = Row { first, before: start as u16, limit };
        length += 1;
    }
    code
}

/// Bits of the longest code.
const LONGEST: u32 = 30;

/// The length of each octet's code, and at the end that of the end of a string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Encodes with the same code, by going through it.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for octet in text {
            let nth = CODE.symbols.iter().position(|symbol| *symbol == u16::from(*octet)).unwrap();
            let length = usize::from(LENGTHS[usize::from(*octet)]);
            let row = CODE.lengths[length - 1];
            bits.push_str(&format!("{:0length$b}", row.first as usize + nth - usize::from(row.before)));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|octet| u8::from_str_radix(std::str::from_utf8(octet).unwrap(), 2).unwrap())
            .collect()
    }

    fn decoded(octets: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(octets, &mut text).map(|()| text)
    }

    /// RFC 7541 appendix C.4.1 and C.6.1.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&www).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(encode(b"www.example.com"), www);
        assert_eq!(decoded(&[0x64, 0x02]).as_deref(), Some(&b"302"[..]));
        assert_eq!(decoded(&[]).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn what_fills_up_is_the_beginning_of_the_end() {
        assert_eq!(decoded(&[0xff]), None, "eight bits are too many");
        assert_eq!(decoded(&[0x1e]), None, "`a`, and not only ones");
        assert_eq!(decoded(&[0x1f]).as_deref(), Some(&b"a"[..]));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None, "the end itself");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decoded(&encode(&text)), Some(text));
        }
    }
}
