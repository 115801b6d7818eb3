//! What a connection is or is not, in an octet for all of it: there are many connections.

use crate::correlate::conversation::Conversation;

/// Traits of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u8);

impl Traits {
    /// A packet of it matched the focus.
    pub const FOCUSED: Self = Self(1);
    /// Its client's address is one of those that ask the gateway which opened it.
    pub const DISGUISED: Self = Self(2);

    /// Whether it has the traits of another.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// It has these as well.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Conversation {
    /// Whether a packet matched the focus.
    #[must_use]
    pub const fn is_focused(&self) -> bool {
        self.traits.has(Traits::FOCUSED)
    }

    /// Whether its client's address is one of those that ask the gateway which opened it.
    #[must_use]
    pub const fn is_disguised(&self) -> bool {
        self.traits.has(Traits::DISGUISED)
    }
}
