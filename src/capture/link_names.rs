//! Names of link types, for reports.

use std::borrow::Cow;

use crate::wire::link::LinkType;

/// The name that <https://www.tcpdump.org/linktypes.html> gives a link type, without `LINKTYPE_`; its number where it has
/// none here.
#[must_use]
pub fn link_name(link: LinkType) -> Cow<'static, str> {
    match NAMES.binary_search_by_key(&link.0, |(number, _)| *number) {
        Ok(index) => NAMES.get(index).map_or(Cow::Borrowed(""), |(_, name)| Cow::Borrowed(*name)),
        Err(_) if (147..=162).contains(&link.0) => Cow::Owned(format!("USER{}", link.0 - 147)),
        Err(_) => Cow::Owned(link.0.to_string()),
    }
}

/// Ordered by number.
const NAMES: [(u16, &str); 51] = [
    (0, "NULL"),
    (1, "ETHERNET"),
    (2, "EXP_ETHERNET"),
    (3, "AX25"),
    (6, "IEEE802_5"),
    (7, "ARCNET_BSD"),
    (8, "SLIP"),
    (9, "PPP"),
    (10, "FDDI"),
    (50, "PPP_HDLC"),
    (51, "PPP_ETHER"),
    (100, "ATM_RFC1483"),
    (101, "RAW"),
    (102, "SLIP_BSDOS"),
    (103, "PPP_BSDOS"),
    (104, "C_HDLC"),
    (105, "IEEE802_11"),
    (106, "ATM_CLIP"),
    (107, "FRELAY"),
    (108, "LOOP"),
    (109, "ENC"),
    (113, "LINUX_SLL"),
    (114, "LTALK"),
    (117, "PFLOG"),
    (119, "IEEE802_11_PRISM"),
    (122, "IP_OVER_FC"),
    (123, "SUNATM"),
    (127, "IEEE802_11_RADIOTAP"),
    (129, "ARCNET_LINUX"),
    (138, "APPLE_IP_OVER_IEEE1394"),
    (141, "MTP2"),
    (143, "DOCSIS"),
    (144, "LINUX_IRDA"),
    (163, "IEEE802_11_AVS"),
    (166, "PPP_PPPD"),
    (187, "BLUETOOTH_HCI_H4"),
    (189, "USB_LINUX"),
    (192, "PPI"),
    (195, "IEEE802_15_4_WITHFCS"),
    (201, "BLUETOOTH_HCI_H4_WITH_PHDR"),
    (204, "PPP_WITH_DIR"),
    (220, "USB_LINUX_MMAPPED"),
    (226, "IPNET"),
    (228, "IPV4"),
    (229, "IPV6"),
    (239, "NFLOG"),
    (240, "NETANALYZER"),
    (249, "USBPCAP"),
    (253, "NETLINK"),
    (258, "PKTAP"),
    (276, "LINUX_SLL2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_number() {
        assert!(NAMES.is_sorted_by(|(a, _), (b, _)| a < b));
        for (number, expected) in
            [(1, "ETHERNET"), (276, "LINUX_SLL2"), (0, "NULL"), (101, "RAW"), (150, "USER3"), (999, "999")]
        {
            assert_eq!(link_name(LinkType(number)), expected);
        }
    }
}
