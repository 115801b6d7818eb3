//! netwatch502 names the cause of every 502 from the packets on both legs of a reverse proxy.

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod correlate;
pub mod diagnose;
pub mod event;
pub mod flow;
pub mod limits;
pub mod observe;
pub mod report;
pub mod run;
pub mod shard;
pub mod stats;
pub mod time;
pub mod wire;
