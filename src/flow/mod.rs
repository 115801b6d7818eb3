//! Packets to ordered streams: which connection a segment belongs to, and what TCP shows of it.

pub mod assembler;
pub mod connection;
pub mod defrag;
pub mod duplicate;
mod half;
pub mod pieces;
pub mod share;
pub mod steer;
pub mod table;
mod translation;
