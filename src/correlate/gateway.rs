//! Which addresses are one gateway: told by the user, learned from requests that stand on both legs, or, where nothing
//! else tells, taken from the capture's own word on which addresses are the capturing host's.

use std::net::IpAddr;
use std::ops::Deref;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::correlate::numbering::{ByAddress, number};

/// The gateways' addresses.
#[derive(Debug, Default)]
pub struct Gateways {
    /// Each known address with the one by which its gateway goes in the books.
    parents: ByAddress<(IpAddr, IpAddr)>,
    /// The addresses of a gateway of several, by the one by which it goes in the books.
    members: ByAddress<Vec<IpAddr>>,
    /// Addresses of the capturing host, and the same in order.
    local: HashSet<u128>,
    sorted: Vec<IpAddr>,
    /// Those of them of which it is not known whose they are.
    strangers: SmallVec<[IpAddr; 4]>,
    /// Addresses that answered requests for which an attempt was seen.
    fronts: HashSet<u128>,
    /// Addresses that sent requests for others.
    forwarders: HashSet<u128>,
    told: bool,
}

impl Gateways {
    /// Gateways of which the user told addresses; those of one list are one gateway.
    #[must_use]
    pub fn told(addresses: &[IpAddr]) -> Self {
        let mut gateways = Self { told: !addresses.is_empty(), ..Self::default() };
        if let Some(first) = addresses.first() {
            for address in addresses {
                gateways.join(*first, *address);
                gateways.fronts.insert(number(*address));
            }
        }
        gateways
    }

    /// An identifier of a request to `front` stood on an attempt from `back`.
    pub fn join(&mut self, front: IpAddr, back: IpAddr) {
        self.fronts.insert(number(front));
        let (front, back) = (self.root(front), self.root(back));
        self.parents.entry(number(front)).or_insert((front, front));
        if front != back {
            let joined = self.members.remove(&number(back)).unwrap_or_else(|| vec![back]);
            for address in &joined {
                self.parents.insert(number(*address), (*address, front));
            }
            self.members.entry(number(front)).or_insert_with(|| vec![front]).extend(joined);
        }
        if !self.strangers.is_empty() {
            let parents = &self.parents;
            self.strangers.retain(|stranger| !parents.contains_key(&number(*stranger)));
        }
    }

    /// The addresses that may be one gateway with this one: all for which [`Gateways::same`] holds, and maybe more.
    #[must_use]
    pub fn akin(&self, address: IpAddr) -> Akin<'_> {
        let members = if self.members.is_empty() { None } else { self.members.get(&number(self.root(address))) };
        let at_home = !self.told && self.local.contains(&number(address));
        match (members, at_home) {
            (None, false) => Akin::Alone([address]),
            (None, true) => Akin::Known(&self.sorted),
            (Some(members), false) => Akin::Known(members),
            (Some(members), true) => {
                let mut akin: Vec<IpAddr> = members.iter().chain(&self.sorted).copied().collect();
                akin.sort_unstable();
                akin.dedup();
                Akin::Gathered(akin)
            }
        }
    }

    /// The link layer says whether an address is the capturing host's.
    pub fn note_local(&mut self, address: IpAddr, local: bool) {
        if local && self.local.len() < MOST_LOCAL && self.local.insert(number(address)) {
            let place = self.sorted.partition_point(|known| *known < address);
            self.sorted.insert(place, address);
            if !self.told && !self.is_known(address) && self.strangers.len() < MOST_STRANGERS {
                self.strangers.push(address);
            }
        }
    }

    /// Addresses of the capturing host that may be any gateway's there, in the order in which they were first seen.
    #[must_use]
    pub fn strangers(&self) -> &[IpAddr] {
        &self.strangers
    }

    /// Whether an address is the capturing host's; `None` where nothing tells.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> Option<bool> {
        if self.local.contains(&number(address)) {
            Some(true)
        } else if self.local.is_empty() {
            None
        } else {
            Some(false)
        }
    }

    /// Whether `front` and `back` are addresses of one gateway.
    #[must_use]
    pub fn same(&self, front: IpAddr, back: IpAddr) -> bool {
        if front == back || self.root(front) == self.root(back) {
            return true;
        }
        let at_home = |address| self.local.contains(&number(address));
        !self.told && !self.is_known(front) && at_home(front) && at_home(back)
    }

    /// Whether an address belongs to a gateway that was told or learned.
    #[must_use]
    pub fn is_known(&self, address: IpAddr) -> bool {
        self.parents.contains_key(&number(address))
    }

    /// An address sent a request that names somebody else as its client.
    pub fn note_forwarder(&mut self, address: IpAddr) {
        if self.forwarders.len() < MOST_FORWARDERS {
            self.forwarders.insert(number(address));
        }
    }

    /// Whether an address sent requests for others: then it tries to connect for others, too.
    #[must_use]
    pub fn is_forwarder(&self, address: IpAddr) -> bool {
        self.forwarders.contains(&number(address))
    }

    /// Whether an address answered requests for which attempts were seen.
    #[must_use]
    pub fn is_front(&self, address: IpAddr) -> bool {
        self.fronts.contains(&number(address))
    }

    /// The address by which the gateway of `address` goes in the books.
    #[must_use]
    pub fn root(&self, address: IpAddr) -> IpAddr {
        self.parents.get(&number(address)).map_or(address, |(_, root)| *root)
    }

    /// The gateways, each as its addresses in order.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<IpAddr>> {
        let mut groups: HashMap<IpAddr, Vec<IpAddr>> = HashMap::new();
        for (address, root) in self.parents.values() {
            groups.entry(*root).or_default().push(*address);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort_unstable();
        groups
    }
}

/// Addresses that may be one gateway's. Nearly always they are known as they are, and need not be copied.
#[derive(Debug)]
pub enum Akin<'a> {
    /// One that is nobody's but its own.
    Alone([IpAddr; 1]),
    /// Those of one gateway, or of one host.
    Known(&'a [IpAddr]),
    /// Both together.
    Gathered(Vec<IpAddr>),
}

impl Akin<'_> {
    /// One after the other.
    pub fn each(self) -> impl Iterator<Item = IpAddr> {
        (0..self.len()).filter_map(move |at| self.get(at).copied())
    }
}

impl Deref for Akin<'_> {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match self {
            Self::Alone(address) => address,
            Self::Known(addresses) => addresses,
            Self::Gathered(addresses) => addresses,
        }
    }
}

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
        assert_eq!(gateways.strangers(), [other]);
        gateways.join(front, other);
        assert!(gateways.same(front, other) && gateways.strangers().is_empty());
    }
}
