//! From evidence to a named cause.

pub mod cause;
pub mod connect;
pub mod evidence;
pub mod explain;
pub mod incident;
pub mod product;
pub mod request;
pub mod response;
