//! Packets to ordered streams.

pub mod defrag;
