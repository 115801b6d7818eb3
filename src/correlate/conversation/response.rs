//! Where the response of an exchange began, and where it ended.

use crate::event::{Ending, Moment, Response};

/// The beginning of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseStart {
    /// When.
    pub moment: Moment,
    /// Offset of the first octet.
    pub at: u64,
    /// Whether a request was outstanding.
    pub solicited: bool,
    /// Octets that came at first, at most 64.
    pub octets: u8,
}

impl ResponseStart {
    /// The beginning of a response whose header section came at once.
    #[must_use]
    pub fn of(response: &Response, moment: Moment) -> Self {
        Self { moment, at: response.start, solicited: response.solicited, octets: FIRST_OCTETS }
    }
}

/// The end of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEnd {
    /// When.
    pub moment: Moment,
    /// Offset after it.
    pub end: u64,
    /// Octets of content.
    pub content: u64,
    /// How.
    pub how: Ending,
}

impl ResponseEnd {
    /// The end of a response that came at once, as a whole.
    pub(in crate::correlate) fn of(response: &Response, moment: Moment) -> Option<Self> {
        let content = response.whole?.into();
        Some(Self { moment, end: response.head_end().saturating_add(content), content, how: Ending::Complete })
    }
}

/// Octets of a response of which the beginning is told.
const FIRST_OCTETS: u8 = 64;
