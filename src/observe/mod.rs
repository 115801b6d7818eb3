//! Ordered streams to the events of their protocol: recognised by content on any port, then watched.

pub mod chunks;
pub mod decrypted;
pub mod head;
pub mod http1;
pub mod secrets;
pub mod sniff;
