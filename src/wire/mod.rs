//! Bytes to values: total functions without state. What cannot be read is an error that says where and why.

pub mod cgi;
pub mod dns;
pub mod fastcgi;
pub mod hpack;
pub mod http1;
pub mod http2;
mod icmp;
mod ip;
pub mod link;
pub mod neighbour;
mod octets;
pub mod packet;
pub mod pcap;
pub mod pcapng;
pub mod scgi;
pub mod tcp;
pub mod tls;
mod tunnel;
pub mod uwsgi;
mod wifi;
