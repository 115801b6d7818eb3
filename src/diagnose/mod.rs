//! From evidence to a named cause.

pub mod cause;
pub mod explain;
pub mod incident;
pub mod product;
