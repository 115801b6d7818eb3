//! What did not come the first time, or not at all.

use crate::event::{GapJudged, Moment, Side};

/// A repeated segment.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// When.
    pub moment: Moment,
    /// Whose.
    pub sender: Side,
    /// First offset repeated.
    pub offset: u64,
    /// Octets repeated.
    pub length: u64,
}

/// A hole in a direction.
#[derive(Clone, Copy, Debug)]
pub struct Hole {
    /// When it was declared.
    pub moment: Moment,
    /// Whose octets are missing.
    pub sender: Side,
    /// Where.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// Who is missing them.
    pub judged: GapJudged,
}
