//! Packets to ordered streams.

pub mod defrag;
pub mod duplicate;
