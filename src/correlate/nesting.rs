//! Which endpoints of one host may stand behind which. On such a host the addresses of clients and gateway are the same, so
//! that they do not tell what is a client's request and what a gateway's attempt. How many exchanges are open does: who
//! passes requests on has at least as many open as are open where they go.
//!
//! ```text
//!   open at the front     1 2 2 3 3 2        an exchange that begins at the front always leads,
//!   open at the upstream  0 0 1 1 2 2        one that begins at the upstream never does
//! ```

use std::net::SocketAddr;

use crate::event::Endpoint;

/// Endpoints that are asked from their own host, and how they nest. 200 octets an endpoint.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    endpoint: Endpoint,
    /// Exchanges that are open.
    open: u64,
    /// Exchanges that began.
    began: u64,
    /// Of these, those that began when fewer were open at another place than here.
    led: [u64; MOST_PLACES],
}

impl Nesting {
    /// An exchange began; `at_home` where its client is on the server's own host.
    pub(super) fn begin(&mut self, server: Endpoint, at_home: bool) {
        let place = match self.find(server) {
            Some(place) => place,
            None if at_home && self.places.len() < MOST_PLACES => {
                self.places.push(Place { endpoint: server, open: 0, began: 0, led: [0; MOST_PLACES] });
                self.places.len() - 1
            }
            None => return,
        };
        let mut open = [0; MOST_PLACES];
        for (open, place) in open.iter_mut().zip(&self.places) {
            *open = place.open;
        }
        let Some(place) = self.places.get_mut(place) else { return };
        place.open += 1;
        place.began += 1;
        for (led, open) in place.led.iter_mut().zip(open) {
            *led += u64::from(place.open > open);
        }
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, server: Endpoint) {
        if let Some(place) = self.find(server).and_then(|place| self.places.get_mut(place)) {
            // Those that began before the endpoint was known were not counted.
            place.open = place.open.saturating_sub(1);
        }
    }

    /// Whether what is asked at `inner` may be asked for the sake of exchanges at `outer`.
    pub(super) fn may_stand_behind(&self, inner: SocketAddr, outer: SocketAddr) -> bool {
        inner != outer && self.find(inner).zip(self.find(outer)).is_none_or(|(inner, outer)| !self.leads(inner, outer))
    }

    /// Whether nothing is asked at an endpoint for the sake of exchanges at another one of its host.
    pub(super) fn is_outermost(&self, endpoint: Endpoint) -> bool {
        let Some(place) = self.find(endpoint) else { return false };
        self.places.len() > 1 && (0..self.places.len()).all(|other| other == place || self.leads(place, other))
    }

    /// Whether exchanges at a place regularly begin when fewer are open at another one.
    fn leads(&self, place: usize, other: usize) -> bool {
        self.places.get(place).is_some_and(|place| {
            let led = place.led.get(other).copied().unwrap_or(0);
            place.began >= ENOUGH && led >= place.began / 10 * 9
        })
    }

    fn find(&self, endpoint: Endpoint) -> Option<usize> {
        self.places.iter().position(|place| place.endpoint == endpoint)
    }
}

/// Endpoints of a host that are looked at; further ones may stand anywhere.
const MOST_PLACES: usize = 16;
/// Exchanges that tell.
const ENOUGH: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Endpoint {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn a_front_leads_and_its_upstream_follows() {
        let mut nesting = Nesting::default();
        assert!(!nesting.is_outermost(at(80)));
        // As busy as can be: never is nothing open.
        for _ in 0..4 {
            nesting.begin(at(80), true);
        }
        for _ in 0..100 {
            nesting.begin(at(80), true);
            nesting.begin(at(90), true);
            nesting.end(at(90));
            nesting.end(at(80));
        }
        assert!(nesting.is_outermost(at(80)) && !nesting.is_outermost(at(90)));
        assert!(nesting.may_stand_behind(at(90), at(80)) && !nesting.may_stand_behind(at(80), at(90)));
    }

    #[test]
    fn the_middle_of_a_chain_is_behind_its_front_only() {
        let mut nesting = Nesting::default();
        for _ in 0..40 {
            [80, 85, 90].into_iter().for_each(|port| nesting.begin(at(port), true));
            [90, 85, 80].into_iter().for_each(|port| nesting.end(at(port)));
        }
        assert!(nesting.is_outermost(at(80)) && !nesting.is_outermost(at(85)));
        assert!(nesting.may_stand_behind(at(85), at(80)) && !nesting.may_stand_behind(at(85), at(90)));
    }

    #[test]
    fn an_upstream_that_gets_copies_of_requests_still_follows() {
        let mut nesting = Nesting::default();
        for _ in 0..40 {
            [80, 90, 90, 90].into_iter().for_each(|port| nesting.begin(at(port), true));
            [90, 90, 90, 80].into_iter().for_each(|port| nesting.end(at(port)));
        }
        assert!(nesting.may_stand_behind(at(90), at(80)));
        assert!(nesting.is_outermost(at(80)) && !nesting.is_outermost(at(90)));
    }

    #[test]
    fn what_is_asked_from_elsewhere_alone_has_no_place() {
        let mut nesting = Nesting::default();
        for _ in 0..40 {
            nesting.begin(at(80), false);
        }
        assert!(nesting.may_stand_behind(at(80), at(90)) && !nesting.is_outermost(at(80)));
    }
}
