//! Link types (https://www.tcpdump.org/linktypes.html) and their headers.

/// A link type as capture files number them (`LINKTYPE_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// Ethernet (IEEE 802.3).
    pub const ETHERNET: Self = Self(1);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);
    /// IPv4 or IPv6 without a link header.
    pub const RAW: Self = Self(101);
}
