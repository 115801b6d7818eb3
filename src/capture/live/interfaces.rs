//! The interfaces of this host: out comes a list for the operator, or a hint at a name that was mistyped.

use std::fs;
use std::net::IpAddr;

use pcap::{Device, IfFlags};

use super::handle::exists;
use crate::capture::{Error, filter};
use crate::wire::link::LinkType;

/// The name for all interfaces at once.
pub(super) const ANY: &str = "any";

/// An interface that can be captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether there is something to see on it.
    pub state: State,
    /// Whether it is loopback.
    pub loopback: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The link type that its frames will have, where it is known without opening it.
    pub link: Option<LinkType>,
}

/// What can be expected of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is up, and has a carrier.
    Running,
    /// It is up, and has no carrier.
    NoCarrier,
    /// It is down.
    Down,
    /// It stands for all others.
    All,
}

/// The interfaces of this network namespace, `any` first, then those that run, by name. Needs no privilege.
///
/// # Errors
///
/// Where libpcap cannot list them.
pub fn list_interfaces() -> Result<Vec<Listed>, Error> {
    let devices = Device::list().map_err(|error| Error::ListInterfaces(filter::message(&error)))?;
    // libpcap also knows of Bluetooth, USB, netfilter queues, and what a stale /sys shows of another namespace.
    let network = devices.into_iter().filter(|device| device.name == ANY || exists(&device.name) == Some(true));
    let mut list: Vec<Listed> = network.map(listed).collect();
    list.sort_by_key(|listed| (listed.name != ANY, listed.state == State::Down, listed.name.clone()));
    Ok(list)
}

fn listed(device: Device) -> Listed {
    let flags = &device.flags.if_flags;
    let state = match (device.name == ANY, flags.contains(IfFlags::UP), flags.contains(IfFlags::RUNNING)) {
        (true, ..) => State::All,
        (_, false, _) => State::Down,
        (_, true, false) => State::NoCarrier,
        (_, true, true) => State::Running,
    };
    Listed {
        state,
        loopback: flags.contains(IfFlags::LOOPBACK),
        addresses: device.addresses.iter().map(|address| address.addr).collect(),
        link: link(&device.name),
        name: device.name,
    }
}

/// What libpcap makes of the hardware types (`ARPHRD_`, linux/if_arp.h) that carry IP on proxies.
fn link(name: &str) -> Option<LinkType> {
    if name == ANY {
        return Some(LinkType::LINUX_SLL2);
    }
    let hardware: u16 = fs::read_to_string(format!("/sys/class/net/{name}/type")).ok()?.trim().parse().ok()?;
    match hardware {
        1 | 772 => Some(LinkType::ETHERNET),
        768 | 769 | 776 | 778 | 65534 => Some(LinkType::RAW),
        801 => Some(LinkType::IEEE802_11),
        803 => Some(LinkType::IEEE802_11_RADIOTAP),
        _ => None,
    }
}

pub(super) fn is_down(name: &str) -> bool {
    list_interfaces().is_ok_and(|list| list.iter().any(|listed| listed.name == name && listed.state == State::Down))
}

/// What to say of a name that no interface has: those that resemble it, else what there is.
pub(super) fn hint(name: &str) -> String {
    let names: Vec<String> = list_interfaces().unwrap_or_default().into_iter().map(|listed| listed.name).collect();
    nearest(name, &names)
}

fn nearest(name: &str, names: &[String]) -> String {
    let near: Vec<&str> = names.iter().map(String::as_str).filter(|known| distance(name, known) <= 1).collect();
    match (near.is_empty(), names.is_empty()) {
        (false, _) => format!("did you mean {}?", near.join(" or ")),
        (_, false) => format!("there are: {}", names.join(", ")),
        (..) => "netwatch502 -D lists those there are".to_owned(),
    }
}

/// How many characters have to be put in, taken out or replaced to make one name of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_recognised() {
        let names: Vec<String> = ["any", "eth0", "eth1", "lo", "wg-office"].map(str::to_owned).to_vec();
        for (name, expected) in [
            ("eht", "there are: any, eth0, eth1, lo, wg-office"),
            ("eth2", "did you mean eth0 or eth1?"),
            ("wg-ofice", "did you mean wg-office?"),
            ("l", "did you mean lo?"),
        ] {
            assert_eq!(nearest(name, &names), expected);
        }
        assert_eq!(nearest("eth0", &[]), "netwatch502 -D lists those there are");
    }

    #[test]
    fn distances_are_the_least_number_of_edits() {
        for (one, other, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("lo", "lo", 0)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected));
        }
    }

    #[test]
    fn any_is_listed_first_and_loopback_is_known() {
        let list = list_interfaces().unwrap();
        assert_eq!(
            (list[0].name.as_str(), list[0].state, list[0].link),
            ("any", State::All, Some(LinkType::LINUX_SLL2))
        );
        assert!(list.iter().any(|listed| listed.loopback && listed.name == "lo"), "{list:?}");
    }
}
