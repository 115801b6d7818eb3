//! Packets to ordered streams.
