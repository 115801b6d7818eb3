//! What HTTP/2 says of streams and of its connection (RFC 9113), besides messages.

use crate::event::Side;
pub use crate::wire::http2::ErrorCode;

/// A stream was given up by one side, before the other side was done with it (section 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamReset {
    /// Which exchange of the connection.
    pub exchange: u32,
    /// Who gave it up.
    pub by: Side,
    /// Why.
    pub code: ErrorCode,
}

/// A side takes no new streams (section 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Who says so.
    pub by: Side,
    /// The greatest number of an exchange that it took, or may have taken. Those behind it were not worked on.
    pub last: u32,
    /// Why.
    pub code: ErrorCode,
}
