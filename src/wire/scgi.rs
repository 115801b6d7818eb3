//! SCGI: the variables that a request begins with, a netstring.
//!
//! ```text
//!   "70" ":" { name NUL value NUL } … ","   content …       the first name is CONTENT_LENGTH
//! ```

use crate::wire::http1::decimal;

/// The variables of a request, and where they end.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Names and values, as far as they are there.
    variables: &'a [u8],
    /// Octets of the netstring.
    pub length: usize,
}

/// The netstring that octets begin with; `None` where its length is not there, or is none.
#[must_use]
pub fn block(octets: &[u8]) -> Option<Block<'_>> {
    let start = octets.iter().take(LONGEST_LENGTH).position(|octet| *octet == b':')? + 1;
    let size: usize = octets.get(..start - 1).and_then(decimal)?.try_into().ok()?;
    let variables = octets.get(start..)?;
    Some(Block { variables: variables.get(..size).unwrap_or(variables), length: start + size + 1 })
}

impl<'a> Block<'a> {
    /// The variables, as far as they are there.
    pub fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.variables;
        std::iter::from_fn(move || Some((text(&mut rest)?, text(&mut rest)?)))
    }
}

/// Whether octets begin a request, as far as they are there; `None` where too few are.
#[must_use]
pub fn begins_request(octets: &[u8]) -> Option<bool> {
    let digits = octets.iter().take(LONGEST_LENGTH).take_while(|octet| octet.is_ascii_digit()).count();
    let behind = octets.get(digits..).unwrap_or_default();
    if digits == 0 || digits == LONGEST_LENGTH {
        return Some(false);
    }
    let is_alike = behind.iter().zip(FIRST).all(|(octet, expected)| octet == expected);
    (!is_alike || behind.len() >= FIRST.len()).then_some(is_alike)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, rest)?;
    let (text, behind) = rest.split_at_checked(end)?;
    *rest = behind.get(1..)?;
    Some(text)
}

/// What stands behind the length.
const FIRST: &[u8] = b":CONTENT_LENGTH\0";
/// Digits of a length, and one.
const LONGEST_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_a_netstring() {
        let octets = b"38:CONTENT_LENGTH\x0027\0REQUEST_METHOD\0POST\0,what is the answer";
        assert_eq!(begins_request(octets), Some(true));
        let whole = block(octets).unwrap();
        assert_eq!(octets.get(whole.length - 1), Some(&b','));
        assert_eq!(
            whole.pairs().collect::<Vec<_>>(),
            [(&b"CONTENT_LENGTH"[..], &b"27"[..]), (b"REQUEST_METHOD", b"POST")]
        );
        assert_eq!(block(&octets[..25]).unwrap().pairs().count(), 1, "what is not all there is none");
    }

    #[test]
    fn a_request_is_told_by_its_first_variable() {
        assert_eq!(begins_request(b"70"), None);
        assert_eq!(begins_request(b"70:CONTENT"), None);
        assert_eq!(begins_request(b"70:SCGI\x001\0"), Some(false));
        assert_eq!(begins_request(b"220 ready"), Some(false));
        assert_eq!(begins_request(b":CONTENT_LENGTH\0"), Some(false));
        assert_eq!(block(b"70"), None);
    }
}
