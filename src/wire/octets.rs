//! The rest of a frame from some header on. Two lengths run through all decoding: how much was captured, and how much
//! was on the wire; every header that declares a length changes both.

use crate::wire::packet::Undecodable;

/// Captured octets, and how many there were on the wire (never fewer).
#[derive(Clone, Copy, Debug)]
pub(super) struct Octets<'a> {
    pub(super) captured: &'a [u8],
    pub(super) length: usize,
}

impl<'a> Octets<'a> {
    /// Some writers record a wire length below what they captured: what is there was on the wire.
    #[inline]
    pub(super) fn new(captured: &'a [u8], length: usize) -> Self {
        Self { captured, length: length.max(captured.len()) }
    }

    /// The first `N` octets.
    #[inline]
    pub(super) fn head<const N: usize>(self) -> Result<&'a [u8; N], Undecodable> {
        self.captured.first_chunk().ok_or_else(|| self.missing(N))
    }

    /// What follows the first `count` octets.
    #[inline]
    pub(super) fn after(self, count: usize) -> Result<Self, Undecodable> {
        match self.captured.get(count..) {
            Some(captured) => Ok(Self { captured, length: self.length - count }),
            None => Err(self.missing(count)),
        }
    }

    /// The same octets where a header says how many they are: padding is cut off, and what was not captured is known.
    #[inline]
    pub(super) fn declared(self, length: usize) -> Self {
        Self { captured: self.captured.get(..length).unwrap_or(self.captured), length }
    }

    /// Octets on the wire, as the public types count them.
    #[inline]
    pub(super) fn wire_length(self) -> u32 {
        u32::try_from(self.length).unwrap_or(u32::MAX)
    }

    /// Whether the snaplen cut some off.
    #[inline]
    pub(super) fn is_cut(self) -> bool {
        self.captured.len() < self.length
    }

    /// Why `count` octets cannot be had: they were not captured, or never there.
    #[cold]
    pub(super) fn missing(self, count: usize) -> Undecodable {
        if count <= self.length { Undecodable::Truncated } else { Undecodable::Malformed }
    }
}
