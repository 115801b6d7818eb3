//! Where packets come from: in come names of capture files (or standard input), out comes one stream of frames in the
//! order of time. A rim: here is I/O, and here errors are sentences for the operator.
//!
//! ```text
//! names ─ expand `*` `?` ─┬─ file ─ gzip/zstd? ─ window ─ pcap/pcapng records ─┐
//!                         ├─ file ─ …                                         ─┼─ merge by time ─ Source::next
//!                         └─ `-`  ─ …                                         ─┘
//! ```
//!
//! What cannot be opened, or is no capture, is an error before the first frame. What breaks off later is none: all frames
//! before that point are delivered, and [`Source::inputs`] says where it ended.
//!
//! Packets as they pass come from [`live`], in batches.

mod ahead;
mod buffer;
mod clocks;
mod content;
mod decompress;
mod error;
mod file;
pub mod filter;
mod input;
pub mod keep;
pub mod keylog;
mod link_names;
pub mod live;
mod mapped;
mod merge;
mod merged;
mod names;
pub mod reach;
mod stretch;

pub use buffer::Buffer;
pub use error::Error;
pub use link_names::link_name;
pub use merge::Source;
pub use stretch::{Stretch, Taken};

#[cfg(test)]
mod tests;
