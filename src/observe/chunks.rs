//! Chunked transfer coding (RFC 9112 section 7.1), octet by octet where it must be, by the run where it can.

/// Where in the coding the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// In a chunk-size line.
    Size {
        /// The size so far.
        size: u64,
        /// Digits seen.
        digits: u8,
        /// Past the digits: extensions, or the line's CR.
        past: bool,
    },
    /// In chunk data.
    Data(u64),
    /// Before the CRLF that ends chunk data; `true` after its CR.
    DataEnd(bool),
    /// In the trailer section: octets of the current line.
    Trailer(u32),
}

/// What became of some octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All were taken, `content` of them chunk data; more must come.
    All {
        /// Octets of chunk data.
        content: u64,
    },
    /// The last chunk and the trailer section ended after `taken` octets.
    Ended {
        /// Octets taken.
        taken: usize,
        /// Octets of chunk data.
        content: u64,
    },
    /// The octet at `at` cannot stand there.
    Defect {
        /// Its index.
        at: usize,
        /// Octets of chunk data before it.
        content: u64,
    },
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0, past: false }
    }
}

impl Chunks {
    /// Takes octets.
    pub fn feed(&mut self, octets: &[u8]) -> Fed {
        let mut content = 0;
        let mut at = 0;
        while let Some(octet) = octets.get(at).copied() {
            match *self {
                Self::Data(left) => {
                    let here = left.min((octets.len() - at) as u64);
                    content += here;
                    at += usize::try_from(here).unwrap_or(usize::MAX);
                    *self = if here == left { Self::DataEnd(false) } else { Self::Data(left - here) };
                    continue;
                }
                Self::DataEnd(after_cr) => match octet {
                    b'\r' if !after_cr => *self = Self::DataEnd(true),
                    b'\n' => *self = Self::default(),
                    _ => return Fed::Defect { at, content },
                },
                Self::Size { size, digits, past } => match self.size_octet(octet, size, digits, past) {
                    Some(next) => *self = next,
                    None => return Fed::Defect { at, content },
                },
                Self::Trailer(line) => match octet {
                    b'\n' if line == 0 => return Fed::Ended { taken: at + 1, content },
                    b'\n' => *self = Self::Trailer(0),
                    b'\r' => {}
                    _ => *self = Self::Trailer(line.saturating_add(1)),
                },
            }
            at += 1;
        }
        Fed::All { content }
    }

    /// Passes over octets that are not there. Returns whether they are chunk data and its CRLF for sure, and then how much
    /// of them is data; nothing changes if not.
    pub fn skip(&mut self, length: u64) -> Option<u64> {
        let Self::Data(left) = *self else { return None };
        let content = length.min(left);
        *self = match length.saturating_sub(left) {
            0 if length < left => Self::Data(left - length),
            0 => Self::DataEnd(false),
            1 => Self::DataEnd(true),
            2 => Self::default(),
            _ => return None,
        };
        Some(content)
    }

    fn size_octet(self, octet: u8, size: u64, digits: u8, past: bool) -> Option<Self> {
        if octet == b'\n' {
            return match (digits, size) {
                (0, _) => None,
                (_, 0) => Some(Self::Trailer(0)),
                _ => Some(Self::Data(size)),
            };
        }
        if past {
            return Some(self);
        }
        if let Some(digit) = (octet as char).to_digit(16) {
            let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
            return Some(Self::Size { size, digits: digits.saturating_add(1), past });
        }
        let ends_digits = digits > 0 && matches!(octet, b';' | b'\r' | b' ' | b'\t');
        ends_digits.then_some(Self::Size { size, digits, past: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_ends_after_its_trailers() {
        let body = b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nHTTP";
        assert_eq!(Chunks::default().feed(body), Fed::Ended { taken: body.len() - 4, content: 5 });
        for cut in 0..body.len() - 4 {
            let mut chunks = Chunks::default();
            let Fed::All { content } = chunks.feed(&body[..cut]) else { panic!("ended early at {cut}") };
            let rest = chunks.feed(&body[cut..]);
            assert_eq!(rest, Fed::Ended { taken: body.len() - 4 - cut, content: 5 - content });
        }
    }

    #[test]
    fn what_is_no_chunk_is_a_defect_at_its_octet() {
        let check = |octets: &[u8], at| {
            assert!(matches!(Chunks::default().feed(octets), Fed::Defect { at: found, .. } if found == at))
        };
        check(b"xyz\r\n", 0);
        check(b"-5\r\n", 0);
        check(b"\r\n", 0);
        check(b"2\r\nabcd\r\n", 5);
        check(b"fffffffffffffffff\r\n", 16);
    }
}
