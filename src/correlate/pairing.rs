//! How sure a pairing is.

/// How sure it is that an attempt was made for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pairing {
    /// Other attempts fit as well.
    Possible,
    /// Time, size and status single it out.
    Likely,
    /// An identifier stands on both legs, or nothing else is in the time window.
    Certain,
}

impl Pairing {
    /// The pairing's name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}
