//! One core's worth of decoding, reassembly and observation: captured frames go in, events come out.

use crate::event::Frame;
use crate::time::Timestamp;
use crate::wire::link::LinkType;

/// A captured frame, as the rim hands it down.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Which frame.
    pub frame: Frame,
    /// When it was captured.
    pub at: Timestamp,
    /// Its link type.
    pub link: LinkType,
    /// The interface it was captured on: its index within the input.
    pub interface: u32,
    /// Octets on the wire; `octets` may hold fewer.
    pub length: u32,
    /// Whether it matches the focus expression.
    pub focused: bool,
    /// The captured octets.
    pub octets: &'a [u8],
}
