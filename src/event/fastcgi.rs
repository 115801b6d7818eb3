//! What FastCGI tells besides requests and responses.

pub use crate::wire::fastcgi::End;

/// How a request was dealt with that did not go as it should, or of which the snaplen left nothing but that it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FastCgiEnd {
    /// Which exchange of the connection.
    pub exchange: u32,
    /// What END_REQUEST said; `None` where it did not come.
    pub end: Option<End>,
    /// Offset at which its output begins, or would: what stands before is none.
    pub output: u64,
    /// What the application said of errors, at most 512 octets, printable.
    pub stderr: Box<str>,
}
