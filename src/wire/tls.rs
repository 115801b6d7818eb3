//! Transport Layer Security (RFC 5246, RFC 8446): the key log's lines, and the protection of records.

pub mod agreed;
pub mod keylog;
pub mod protect;
