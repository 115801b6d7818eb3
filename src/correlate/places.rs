//! The endpoints that are asked, numbered as their connections open, so that what is known of one is found without hashing:
//! its place in the chain of gateways.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::correlate::nesting::{Nesting, Slot};
use crate::event::Endpoint;

/// An endpoint's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// That of an endpoint too many. Nothing is known of it.
    pub(super) const BEYOND: Self = Self(0);
    /// That of no endpoint.
    pub(super) const NOWHERE: Self = Self(u32::MAX);

    /// From 0, without gaps.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of the endpoints. 104 octets each.
#[derive(Debug)]
pub(super) struct Places {
    numbers: HashMap<Endpoint, Place>,
    known: Vec<Known>,
    nesting: Nesting,
    /// Those that are counted on their own.
    nested: SmallVec<[Place; 8]>,
}

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// How often an identifier told an attempt that was made for an exchange here.
    fronted: u32,
    /// How often an identifier told that an exchange here was made for another one.
    attempted: u32,
    /// Connections that carried no request: those that exchanges needed, and those that none did.
    needed: u32,
    unneeded: u32,
    /// Where it is counted what is open here, if not with the rest.
    slot: Option<Slot>,
    /// Exchanges that are counted there.
    open: u32,
}

impl Known {
    /// Requests that look alike are taken for each other's attempts now and then: what is told once in thousands of times does
    /// not count.
    fn is_front(&self) -> bool {
        self.fronted > self.attempted / VANISHING
    }

    fn is_upstream(&self) -> bool {
        self.attempted > self.fronted / VANISHING
    }

    /// Whose an attempt was cannot be told of all of them; nobody's are most of those of who looks whether an endpoint accepts.
    fn is_probed(&self) -> bool {
        self.unneeded > self.needed / SELDOM
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            known: vec![Known::default()],
            nesting: Nesting::default(),
            nested: SmallVec::new(),
        }
    }
}

impl Places {
    /// The number of an endpoint.
    pub(super) fn number(&mut self, endpoint: Endpoint) -> Place {
        if let Some(place) = self.numbers.get(&endpoint) {
            return *place;
        }
        // The bound fits a number of 32 bits.
        let place = Place(self.known.len() as u32);
        if self.known.len() > MOST_PLACES {
            return Place::BEYOND;
        }
        self.known.push(Known::default());
        self.numbers.insert(endpoint, place);
        place
    }

    /// An identifier tells that an exchange at `upstream` was made for one at `front`.
    pub(super) fn note_attempt(&mut self, front: Place, upstream: Place) {
        if let Some(known) = self.known_mut(front) {
            known.fronted = known.fronted.saturating_add(1);
        }
        if let Some(known) = self.known_mut(upstream) {
            known.attempted = known.attempted.saturating_add(1);
        }
        if let Some((inner, outer)) = self.known(upstream).slot.zip(self.known(front).slot) {
            self.nesting.note_attempt(inner, outer);
        }
    }

    /// Takes back what was told of an endpoint's attempts and cannot be. Where a capture begins amid requests that look alike,
    /// those whose exchanges were not seen to begin are taken for attempts that were made for others.
    #[cold]
    fn reconsider(&mut self, inner: Place) {
        let Some(slot) = self.known(inner).slot else { return };
        for outer in self.nested.clone().into_iter().filter(|outer| *outer != inner) {
            let Some(known) = self.known.get_mut(outer.0 as usize) else { continue };
            let wrong = known.slot.map_or(0, |outer| self.nesting.take_back(slot, outer));
            known.fronted = known.fronted.saturating_sub(wrong);
            if let Some(known) = self.known_mut(inner) {
                known.attempted = known.attempted.saturating_sub(wrong);
            }
        }
    }

    /// The order of answers tells the same. It confirms what identifiers told before, and tells nothing new.
    pub(super) fn note_likely_attempt(&mut self, front: Place, upstream: Place) {
        if self.known(front).fronted > 0 && self.known(upstream).attempted > 0 {
            self.note_attempt(front, upstream);
        }
    }

    /// A connection that carried no request was opened here, which an exchange may have needed or none did.
    pub(super) fn note_bare(&mut self, place: Place, is_needed: bool) {
        if let Some(known) = self.known_mut(place) {
            let count = if is_needed { &mut known.needed } else { &mut known.unneeded };
            *count = count.saturating_add(1);
        }
    }

    /// An exchange began; `at_home` where its client is on the server's own host.
    pub(super) fn begin(&mut self, place: Place, at_home: bool) {
        let &Known { slot, open, .. } = self.known(place);
        let own = slot.or_else(|| (at_home && place != Place::BEYOND).then(|| self.nesting.add(open.into())).flatten());
        if own != slot {
            self.nested.push(place);
        }
        self.nesting.begin(own.unwrap_or(Slot::ELSEWHERE));
        if let Some(known) = self.known.get_mut(place.0 as usize) {
            (known.slot, known.open) = (own, known.open + 1);
        }
        if own.is_some_and(|slot| self.nesting.is_time_to_ask(slot)) {
            self.reconsider(place);
        }
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, place: Place) {
        let Some(known) = self.known.get_mut(place.0 as usize).filter(|known| known.open > 0) else { return };
        known.open -= 1;
        self.nesting.end(known.slot.unwrap_or(Slot::ELSEWHERE));
    }

    /// Whether an identifier told an attempt that was made for an exchange here.
    pub(super) fn is_front(&self, place: Place) -> bool {
        self.known(place).is_front()
    }

    /// Whether connections are opened here regularly that no exchange needs.
    pub(super) fn is_probed(&self, place: Place) -> bool {
        self.known(place).is_probed()
    }

    /// Whether exchanges often needed connections here that carried no request.
    pub(super) fn fails_often(&self, place: Place) -> bool {
        self.known(place).needed >= OFTEN
    }

    /// Whether it is a gateway's own front, and never another one's upstream.
    pub(super) fn is_front_only(&self, place: Place) -> bool {
        let known = self.known(place);
        !known.is_upstream() && (known.is_front() || known.slot.is_some_and(|slot| self.nesting.is_outermost(slot)))
    }

    /// Whether an identifier told that exchanges here were made for others.
    pub(super) fn is_upstream(&self, place: Place) -> bool {
        self.known(place).is_upstream()
    }

    /// Whether it is a gateway's upstream, and was never seen to pass on what it is asked.
    pub(super) fn is_upstream_only(&self, place: Place) -> bool {
        let known = self.known(place);
        known.is_upstream() && !known.is_front()
    }

    /// Whether it is asked from its own host, and for the sake of exchanges at another endpoint there.
    pub(super) fn is_behind(&self, place: Place) -> bool {
        self.known(place).slot.is_some_and(|slot| self.nesting.is_behind(slot))
    }

    /// Whether an exchange at `inner` may have been made for one at `outer`.
    pub(super) fn may_stand_behind(&self, inner: Place, outer: Place) -> bool {
        let different = inner != outer || inner == Place::BEYOND;
        different && !self.is_front_only(inner) && self.may_nest(inner, outer)
    }

    /// The same for many at one `outer`. Most of them are of one endpoint, which is looked at once.
    pub(super) fn behind(&self, outer: Place) -> impl FnMut(Place) -> bool {
        let mut latest = (outer, outer == Place::BEYOND && self.may_stand_behind(outer, outer));
        move |inner| {
            if latest.0 != inner {
                latest = (inner, self.may_stand_behind(inner, outer));
            }
            latest.1
        }
    }

    /// Whether an exchange at `inner` may have been made for one at `outer`, by how many are open at each.
    pub(super) fn may_nest(&self, inner: Place, outer: Place) -> bool {
        let slots = self.known(inner).slot.zip(self.known(outer).slot);
        slots.is_none_or(|(inner, outer)| self.nesting.may_stand_behind(inner, outer))
    }

    fn known(&self, place: Place) -> &Known {
        static NOTHING: Known = Known { fronted: 0, attempted: 0, needed: 0, unneeded: 0, slot: None, open: 0 };
        self.known.get(place.0 as usize).unwrap_or(&NOTHING)
    }

    fn known_mut(&mut self, place: Place) -> Option<&mut Known> {
        self.known.get_mut(place.0 as usize).filter(|_| place != Place::BEYOND)
    }
}

/// So many are not few.
const OFTEN: u32 = 16;
/// What happens less often than once in so many times is no habit.
const SELDOM: u32 = 4;
/// A share that is less than one in so many is none.
const VANISHING: u32 = 4096;
/// Endpoints that are numbered.
const MOST_PLACES: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        (std::net::Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn a_capture_that_begins_under_load_is_understood_all_the_same() {
        let mut places = Places::default();
        let [front, upstream] = [8080, 9000].map(|port| places.number(endpoint(port)));
        // Requests at the front that look like those at the upstream, whose own fronts began before the capture.
        places.begin(upstream, true);
        for _ in 0..4 {
            places.begin(front, true);
            places.note_attempt(upstream, front);
        }
        assert!(!places.is_front_only(front) && places.is_front(upstream));
        for _ in 0..4 {
            places.end(front);
        }
        places.end(upstream);
        for _ in 0..400 {
            [front, upstream].into_iter().for_each(|place| places.begin(place, true));
            places.note_attempt(front, upstream);
            [upstream, front].into_iter().for_each(|place| places.end(place));
        }
        assert!(places.is_front_only(front), "{places:?}");
        assert!(places.is_upstream_only(upstream), "{places:?}");
    }
}
