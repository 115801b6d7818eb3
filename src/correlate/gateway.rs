//! Which addresses are one gateway: told by the user, learned from requests that stand on both legs, or, where nothing
//! else tells, taken from the capture's own word on which addresses are the capturing host's.

use std::net::IpAddr;
use std::ops::Deref;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::correlate::numbering::{ByAddress, number};

/// An address's number, as long as an exchange has it at one of its ends; for good, where something is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host(u32);

impl Host {
    #[cfg(test)]
    pub(super) const FIRST: Self = Self(0);

    /// From 0, without gaps.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The gateways' addresses.
#[derive(Debug, Default)]
pub struct Gateways {
    numbers: ByAddress<Host>,
    known: Vec<Known>,
    /// Numbers that are to be given again.
    free: Vec<Host>,
    /// The addresses of each gateway of several.
    groups: Vec<Vec<Host>>,
    /// Addresses of the capturing host, in order.
    local: Vec<Host>,
    /// Those of them of which it is not known whose they are.
    strangers: SmallVec<[Host; 4]>,
    /// How many addresses sent requests for others.
    forwarders: usize,
    told: bool,
}

/// What is known of an address. 52 octets.
#[derive(Clone, Copy, Debug)]
struct Known {
    address: IpAddr,
    /// The one by which its gateway goes in the books, if it is a gateway's.
    root: Option<Host>,
    /// By whose number a gateway's several addresses are found.
    group: Option<u32>,
    /// The capturing host's address that it asked last, from elsewhere.
    asked: Option<Host>,
    /// Exchanges that have it at one of their ends.
    uses: u32,
    is_local: bool,
    /// Whether it answered requests for which an attempt was seen.
    is_front: bool,
    /// Whether it sent requests for others.
    is_forwarder: bool,
    /// Whether the number is to be given again.
    is_free: bool,
}

impl Known {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            root: None,
            group: None,
            asked: None,
            uses: 0,
            is_local: false,
            is_front: false,
            is_forwarder: false,
            is_free: false,
        }
    }

    /// Whether nothing would be lost with it.
    fn is_spare(&self) -> bool {
        self.uses == 0 && self.root.is_none() && !self.is_local && !self.is_front && !self.is_forwarder
    }
}

impl Gateways {
    /// Gateways of which the user told addresses; those of one list are one gateway.
    #[must_use]
    pub fn told(addresses: &[IpAddr]) -> Self {
        let mut gateways = Self { told: !addresses.is_empty(), ..Self::default() };
        if let Some(first) = addresses.first() {
            for address in addresses {
                gateways.join(*first, *address);
                gateways.note_front(*address);
            }
        }
        gateways
    }

    // Addresses and their numbers.

    /// The number of an address at which an exchange begins. `latest` is what it was when it was last asked for.
    pub(super) fn enter(&mut self, address: IpAddr, latest: Host) -> Host {
        let is_still = self.of(latest).is_some_and(|known| known.address == address && !known.is_free);
        let host = if is_still { latest } else { self.number(address) };
        if let Some(known) = self.known.get_mut(host.index()) {
            known.uses += 1;
        }
        host
    }

    /// An exchange is no longer in the books. The next one at its addresses is likely to come soon.
    pub(super) fn leave(&mut self, host: Host) {
        let is_crowded = self.numbers.len() > MOST_SPARE;
        let Some(known) = self.known.get_mut(host.index()) else { return };
        known.uses = known.uses.saturating_sub(1);
        if is_crowded && known.is_spare() {
            known.is_free = true;
            self.numbers.remove(&number(known.address));
            self.free.push(host);
        }
    }

    fn number(&mut self, address: IpAddr) -> Host {
        let Self { numbers, known, free, .. } = self;
        *numbers.entry(number(address)).or_insert_with(|| {
            let host = free.pop().unwrap_or(Host(known.len() as u32));
            match known.get_mut(host.index()) {
                Some(known) => *known = Known::new(address),
                None => known.push(Known::new(address)),
            }
            host
        })
    }

    fn find(&self, address: IpAddr) -> Option<Host> {
        self.numbers.get(&number(address)).copied()
    }

    fn of(&self, host: Host) -> Option<&Known> {
        self.known.get(host.index())
    }

    fn at(&self, address: IpAddr) -> Option<&Known> {
        self.of(self.find(address)?)
    }

    // What is learned.

    /// An identifier of a request to `front` stood on an attempt from `back`.
    pub fn join(&mut self, front: IpAddr, back: IpAddr) {
        let front = self.note_front(front);
        let back = self.number(back);
        if self.of(back).is_some_and(|known| known.asked == Some(front)) {
            // It is a client's, whose address the gateway keeps.
            self.set_root(front, self.of(front).and_then(|known| known.root).unwrap_or(front));
            return;
        }
        let [front, back] = [front, back].map(|host| self.of(host).and_then(|known| known.root).unwrap_or(host));
        self.set_root(front, front);
        if front != back {
            let joined = match self.known.get_mut(back.index()).and_then(|known| known.group.take()) {
                Some(group) => self.groups.get_mut(group as usize).map(std::mem::take).unwrap_or_default(),
                None => vec![back],
            };
            for host in &joined {
                self.set_root(*host, front);
            }
            self.grow(front, joined);
        }
        if !self.strangers.is_empty() {
            let known = &self.known;
            let is_known = |host: &Host| known.get(host.index()).is_some_and(|known| known.root.is_some());
            self.strangers.retain(|stranger| !is_known(stranger));
        }
    }

    fn set_root(&mut self, host: Host, root: Host) {
        if let Some(known) = self.known.get_mut(host.index()) {
            known.root = Some(root);
        }
    }

    /// More addresses of a gateway.
    fn grow(&mut self, root: Host, more: Vec<Host>) {
        let Self { known, groups, .. } = self;
        let Some(known) = known.get_mut(root.index()) else { return };
        let group = *known.group.get_or_insert_with(|| {
            groups.push(vec![root]);
            groups.len() as u32 - 1
        });
        if let Some(group) = groups.get_mut(group as usize) {
            group.extend(more);
        }
    }

    fn note_front(&mut self, address: IpAddr) -> Host {
        let host = self.number(address);
        if let Some(known) = self.known.get_mut(host.index()) {
            known.is_front = true;
        }
        host
    }

    /// The link layer says whether an address is the capturing host's.
    pub fn note_local(&mut self, address: IpAddr, local: bool) {
        if !local || self.local.len() >= MOST_LOCAL || self.is_local(address) == Some(true) {
            return;
        }
        let host = self.number(address);
        let place = self.local.partition_point(|other| self.of(*other).is_some_and(|other| other.address < address));
        self.local.insert(place, host);
        let Some(known) = self.known.get_mut(host.index()) else { return };
        known.is_local = true;
        if !self.told && known.root.is_none() && self.strangers.len() < MOST_STRANGERS {
            self.strangers.push(host);
        }
    }

    /// An address asks one of the capturing host's, from elsewhere.
    pub(super) fn note_asker(&mut self, client: IpAddr, front: IpAddr) {
        let front = self.number(front);
        let client = self.number(client);
        if let Some(known) = self.known.get_mut(client.index()) {
            known.asked = Some(front);
        }
    }

    /// Whose connections are that the capturing host opens from the address of one of its clients: a gateway may keep it, so that its
    /// upstreams see it (nginx's `proxy_bind $remote_addr transparent`, HAProxy's `usesrc clientip`).
    pub(super) fn disguised(&self, client: IpAddr) -> Option<IpAddr> {
        let known = self.at(client).filter(|known| !known.is_local)?;
        let asked = self.of(known.asked?).filter(|asked| asked.is_local)?;
        Some(asked.address)
    }

    /// The capturing host passed packets on to an address, which is not its own, though it came in with them.
    pub(super) fn note_remote(&mut self, address: IpAddr) {
        let Some(host) = self.find(address) else { return };
        let Some(known) = self.known.get_mut(host.index()).filter(|known| known.is_local) else { return };
        known.is_local = false;
        self.local.retain(|other| *other != host);
        self.strangers.retain(|other| *other != host);
    }

    /// An address sent a request that names somebody else as its client.
    pub fn note_forwarder(&mut self, address: IpAddr) {
        if self.forwarders < MOST_FORWARDERS {
            let host = self.number(address);
            if let Some(known) = self.known.get_mut(host.index()) {
                self.forwarders += usize::from(!std::mem::replace(&mut known.is_forwarder, true));
            }
        }
    }

    // What is asked, by number or by address.

    /// The addresses that may be one gateway with this one: all for which [`Gateways::same`] holds, and maybe more.
    pub(super) fn akin(&self, host: Host) -> Akin<'_> {
        let Some(known) = self.of(host) else { return Akin::Alone([host]) };
        let group = known.root.and_then(|root| self.of(root)?.group);
        let members = group.and_then(|group| self.groups.get(group as usize));
        match (members, !self.told && known.is_local) {
            (None, false) => Akin::Alone([host]),
            (None, true) => Akin::Known(&self.local),
            (Some(members), false) => Akin::Known(members),
            (Some(members), true) => {
                let mut akin: Vec<Host> = members.iter().chain(&self.local).copied().collect();
                akin.sort_unstable_by_key(|host| self.of(*host).map(|known| known.address));
                akin.dedup();
                Akin::Gathered(akin)
            }
        }
    }

    /// Addresses of the capturing host that may be any gateway's there, in the order in which they were first seen.
    pub(super) fn strangers(&self) -> &[Host] {
        &self.strangers
    }

    /// The address that has a number.
    pub(super) fn address(&self, host: Host) -> Option<IpAddr> {
        self.of(host).map(|known| known.address)
    }

    /// Whether an exchange that an address began may be a gateway's attempt: one is known there, or it is the capturing host's.
    pub(super) fn may_attempt(&self, host: Host) -> bool {
        self.of(host).is_some_and(|known| known.root.is_some() || known.is_local)
    }

    /// Whether an address is the capturing host's; `None` where nothing tells.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> Option<bool> {
        (!self.local.is_empty()).then(|| self.at(address).is_some_and(|known| known.is_local))
    }

    /// The same of one that has a number.
    pub(super) fn is_local_host(&self, host: Host) -> Option<bool> {
        (!self.local.is_empty()).then(|| self.of(host).is_some_and(|known| known.is_local))
    }

    /// Whether both ends are of one host, as far as can be told.
    #[must_use]
    pub fn is_at_home(&self, client: IpAddr, server: IpAddr) -> bool {
        client == server || client.is_loopback() || [client, server].map(|end| self.is_local(end)) == [Some(true); 2]
    }

    /// Whether `front` and `back` are addresses of one gateway.
    #[must_use]
    pub fn same(&self, front: IpAddr, back: IpAddr) -> bool {
        let both = || Some(self.are_same(self.find(front)?, self.find(back)?));
        front == back || both().unwrap_or(false)
    }

    /// The same of two that have numbers.
    pub(super) fn are_same(&self, front: Host, back: Host) -> bool {
        if front == back {
            return true;
        }
        let Some((front, back)) = self.of(front).zip(self.of(back)) else { return false };
        match front.root {
            Some(root) => back.root == Some(root),
            None => !self.told && front.is_local && back.is_local,
        }
    }

    /// Whether an address belongs to a gateway that was told or learned.
    #[must_use]
    pub fn is_known(&self, address: IpAddr) -> bool {
        self.at(address).is_some_and(|known| known.root.is_some())
    }

    /// The same of one that has a number.
    pub(super) fn is_known_host(&self, host: Host) -> bool {
        self.of(host).is_some_and(|known| known.root.is_some())
    }

    /// Whether an address sent requests for others: then it tries to connect for others, too.
    pub(super) fn is_forwarder(&self, host: Host) -> bool {
        self.of(host).is_some_and(|known| known.is_forwarder)
    }

    /// Whether an address answered requests for which attempts were seen.
    #[must_use]
    pub fn is_front(&self, address: IpAddr) -> bool {
        self.at(address).is_some_and(|known| known.is_front)
    }

    /// The same of one that has a number.
    pub(super) fn is_front_host(&self, host: Host) -> bool {
        self.of(host).is_some_and(|known| known.is_front)
    }

    /// The address by which the gateway of `address` goes in the books.
    #[must_use]
    pub fn root(&self, address: IpAddr) -> IpAddr {
        let root = self.at(address).and_then(|known| self.of(known.root?));
        root.map_or(address, |root| root.address)
    }

    /// The gateways, each as its addresses in order.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<IpAddr>> {
        let mut groups: HashMap<Host, Vec<IpAddr>> = HashMap::new();
        for known in &self.known {
            if let Some(root) = known.root {
                groups.entry(root).or_default().push(known.address);
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort_unstable();
        groups
    }
}

/// Addresses that may be one gateway's. Nearly always they are known as they are, and need not be copied.
#[derive(Debug)]
pub(super) enum Akin<'a> {
    /// One that is nobody's but its own.
    Alone([Host; 1]),
    /// Those of one gateway, or of one host.
    Known(&'a [Host]),
    /// Both together.
    Gathered(Vec<Host>),
}

impl Akin<'_> {
    /// One after the other.
    pub(super) fn each(self) -> impl Iterator<Item = Host> {
        (0..self.len()).filter_map(move |at| self.get(at).copied())
    }
}

impl Deref for Akin<'_> {
    type Target = [Host];

    fn deref(&self) -> &[Host] {
        match self {
            Self::Alone(address) => address,
            Self::Known(addresses) => addresses,
            Self::Gathered(addresses) => addresses,
        }
    }
}

/// Numbers that are kept, though no exchange has the address, nor is anything known of it.
const MOST_SPARE: usize = 1024;
/// Addresses of the capturing host that are remembered, and of them, those of which it is not known whose they are.
const MOST_LOCAL: usize = 1024;
const MOST_STRANGERS: usize = 16;

/// Addresses that are remembered for the requests that they sent for others.
const MOST_FORWARDERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_outweighs_the_host_s_own_addresses() {
        let [front, back, other]: [IpAddr; 3] = ["10.0.0.1", "10.0.1.1", "10.0.2.1"].map(|a| a.parse().unwrap());
        let mut gateways = Gateways::default();
        assert!(!gateways.same(front, back));
        gateways.note_local(front, true);
        gateways.note_local(other, true);
        assert!(gateways.same(front, other));
        gateways.join(front, back);
        assert!(gateways.same(front, back));
        assert!(!gateways.same(front, other));
        assert_eq!(gateways.groups(), [vec![front, back]]);
        assert_eq!(gateways.strangers(), [gateways.find(other).unwrap()]);
        gateways.join(front, other);
        assert!(gateways.same(front, other) && gateways.strangers().is_empty());
    }

    #[test]
    fn numbers_of_addresses_that_nothing_is_known_of_are_given_again() {
        let mut gateways = Gateways::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        gateways.join(address(1), address(2));
        let hosts: Vec<Host> = (0..MOST_SPARE as u32 * 2).map(|n| gateways.enter(address(n), Host::FIRST)).collect();
        hosts.iter().for_each(|host| gateways.leave(*host));
        assert_eq!(gateways.numbers.len(), MOST_SPARE);
        assert!(gateways.same(address(1), address(2)));
        let last = *hosts.last().unwrap();
        let again = gateways.enter(address(MOST_SPARE as u32 * 2 - 1), last);
        assert_eq!(
            gateways.find(gateways.address(again).unwrap()),
            Some(again),
            "a number that was given up is not used"
        );
        let again = gateways.enter(address(u32::MAX), again);
        assert!(again.index() < hosts.len());
        assert_eq!(gateways.address(again), Some(address(u32::MAX)));
    }
}
