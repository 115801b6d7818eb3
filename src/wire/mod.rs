//! Bytes to values: total functions without state. What cannot be read is an error that says where and why.

pub mod link;
pub mod packet;
pub mod pcap;
pub mod pcapng;
