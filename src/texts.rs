//! Several texts in one piece of memory: what is kept of a message comes and goes with it, and each piece costs.

use std::borrow::Cow;

/// `N` texts, some of which may not be there. As many octets as they have, and 4 for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts<const N: usize> {
    all: Box<str>,
    /// Where each ends, or [`ABSENT`]; it begins where the one before ends that is there.
    ends: [u32; N],
}

impl<const N: usize> Default for Texts<N> {
    fn default() -> Self {
        Self { all: Box::default(), ends: [ABSENT; N] }
    }
}

impl<const N: usize> Texts<N> {
    /// Texts of octets; what is not UTF-8 in them is replaced.
    #[must_use]
    pub fn new(parts: [Option<&[u8]>; N]) -> Self {
        let mut all = Vec::with_capacity(parts.iter().flatten().map(|part| part.len()).sum());
        let mut ends = [ABSENT; N];
        for (part, end) in parts.iter().zip(&mut ends) {
            if let Some(part) = part {
                all.extend_from_slice(part);
                *end = u32::try_from(all.len()).unwrap_or(ABSENT);
            }
        }
        let parted = |all: &str| ends.iter().all(|end| *end == ABSENT || all.is_char_boundary(*end as usize));
        match String::from_utf8(all) {
            Ok(all) if parted(&all) => Self { all: all.into_boxed_str(), ends },
            _ => {
                let readable = parts.map(|part| part.map(readable));
                Self::new(std::array::from_fn(|nth| Some(readable.get(nth)?.as_ref()?.as_bytes())))
            }
        }
    }

    /// The `nth` text, from 0.
    #[must_use]
    pub fn get(&self, nth: usize) -> Option<&str> {
        let (before, rest) = self.ends.split_at_checked(nth)?;
        let end = *rest.first().filter(|end| **end != ABSENT)?;
        let start = before.iter().rev().copied().find(|end| *end != ABSENT).unwrap_or(0);
        self.all.get(start as usize..end as usize)
    }

    /// Octets that they hold besides themselves.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.all.len()
    }
}

/// Octets as text; what is not UTF-8 in them is replaced.
#[must_use]
pub fn readable(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) => text.into(),
        // Whoever cut it to a length may have cut a character in two.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(octets.get(..error.valid_up_to()).unwrap_or_default())
        }
        Err(_) => String::from_utf8_lossy(octets),
    }
}

/// No end: there is no such text.
const ABSENT: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_as_they_went_in() {
        let texts = Texts::new([Some(b"GET"), None, Some(b""), Some("/\u{e4}".as_bytes())]);
        assert_eq!([0, 1, 2, 3, 4].map(|nth| texts.get(nth)), [Some("GET"), None, Some(""), Some("/\u{e4}"), None]);
        assert_eq!(texts.weight(), 6);
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_in_its_own_text() {
        let texts = Texts::new([Some(b"a\xc3"), Some(b"\xa4b"), Some(b"c")]);
        assert_eq!([0, 1, 2].map(|nth| texts.get(nth)), [Some("a"), Some("\u{fffd}b"), Some("c")]);
    }
}
