//! Which endpoints of one host may stand behind which. On such a host the addresses of clients and gateway are the same, so
//! that they do not tell what is a client's request and what a gateway's attempt. How many exchanges are open does: who
//! passes requests on has at least as many open as are open where they go. What is open at endpoints that nobody on the host
//! asks counts too, since they may be what passes on: a slow upstream leads a fast one, and neither is behind the other.
//!
//! ```text
//!   open at the front     1 2 2 3 3 2        an exchange that begins at the front always leads,
//!   open at the upstream  0 0 1 1 2 2        one that begins at the upstream never does
//! ```

/// Endpoints that are asked from their own host, and how they nest. 208 octets an endpoint.
#[derive(Debug)]
pub(super) struct Nesting {
    /// Exchanges that are open, by slot.
    open: [u64; MOST_PLACES],
    counts: Vec<Count>,
}

/// Where what is open at an endpoint is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u8);

impl Slot {
    /// That of all endpoints without one of their own.
    pub(super) const ELSEWHERE: Self = Self(0);
}

#[derive(Debug, Default)]
struct Count {
    /// Exchanges that began of late.
    began: u64,
    /// Of these, those that began when fewer were open at another place than here, even together with those elsewhere.
    led: [u64; MOST_PLACES],
    /// Attempts here that were told to be made for exchanges at another place.
    told: [u32; MOST_PLACES],
}

impl Default for Nesting {
    fn default() -> Self {
        Self { open: [0; MOST_PLACES], counts: vec![Count::default()] }
    }
}

impl Nesting {
    /// A slot for one more endpoint, while there are any. `open` exchanges of it were counted elsewhere so far.
    pub(super) fn add(&mut self, open: u64) -> Option<Slot> {
        let slot = u8::try_from(self.counts.len()).ok().filter(|_| self.counts.len() < MOST_PLACES)?;
        let [elsewhere, ..] = &mut self.open;
        *elsewhere = elsewhere.saturating_sub(open);
        let own = usize::from(slot);
        *self.open.get_mut(own)? = open;
        for Count { led, .. } in &mut self.counts {
            // None was open there so far.
            let [elsewhere, ..] = *led;
            *led.get_mut(own)? = elsewhere;
        }
        self.counts.push(Count::default());
        Some(Slot(slot))
    }

    /// An exchange began.
    pub(super) fn begin(&mut self, slot: Slot) {
        let own = usize::from(slot.0);
        let [elsewhere, others @ ..] = self.open;
        let Some(here) = self.open.get_mut(own) else { return };
        *here += 1;
        let (here, slots) = (*here, self.counts.len());
        let Some(count) = self.counts.get_mut(own).filter(|_| slot != Slot::ELSEWHERE) else { return };
        if count.began >= MOST_COUNTED {
            count.began /= 2;
            count.led.iter_mut().for_each(|led| *led /= 2);
        }
        count.began += 1;
        let [led_elsewhere, led_others @ ..] = &mut count.led;
        *led_elsewhere += u64::from(here > elsewhere);
        for (led, open) in led_others.iter_mut().zip(others).take(slots - 1) {
            *led += u64::from(here > open + elsewhere);
        }
    }

    /// Whether it is time to ask what was told that cannot be: enough are counted, or many more since.
    pub(super) fn is_time_to_ask(&self, slot: Slot) -> bool {
        let count = self.counts.get(usize::from(slot.0));
        count.is_some_and(|count| [ENOUGH, MOST_COUNTED / 2 + 1].contains(&count.began))
    }

    /// An attempt at `inner` is told to be made for an exchange at `outer`.
    pub(super) fn note_attempt(&mut self, inner: Slot, outer: Slot) {
        let count = self.counts.get_mut(usize::from(inner.0));
        if let Some(told) = count.and_then(|count| count.told.get_mut(usize::from(outer.0))) {
            *told = told.saturating_add(1);
        }
    }

    /// Attempts that were told although nothing is asked at `inner` for the sake of exchanges at `outer`; they are forgotten.
    pub(super) fn take_back(&mut self, inner: Slot, outer: Slot) -> u32 {
        if self.may_stand_behind(inner, outer) {
            return 0;
        }
        let count = self.counts.get_mut(usize::from(inner.0));
        count.and_then(|count| count.told.get_mut(usize::from(outer.0))).map_or(0, std::mem::take)
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, slot: Slot) {
        if let Some(open) = self.open.get_mut(usize::from(slot.0)) {
            *open = open.saturating_sub(1);
        }
    }

    /// Whether what is asked at `inner` may be asked for the sake of exchanges at `outer`.
    pub(super) fn may_stand_behind(&self, inner: Slot, outer: Slot) -> bool {
        inner != outer && !self.leads(inner, usize::from(outer.0))
    }

    /// Whether nothing is asked at an endpoint for the sake of exchanges at another one.
    pub(super) fn is_outermost(&self, slot: Slot) -> bool {
        let own = usize::from(slot.0);
        (0..self.counts.len()).all(|other| other == own || self.leads(slot, other))
    }

    /// Whether exchanges at another endpoint that is outermost lead those at this one.
    pub(super) fn is_behind(&self, slot: Slot) -> bool {
        let own = self.counts.get(usize::from(slot.0)).filter(|count| count.began >= ENOUGH);
        let slots = (1..self.counts.len()).filter_map(|other| u8::try_from(other).ok()).map(Slot);
        own.is_some() && slots.into_iter().any(|other| other != slot && self.is_outermost(other))
    }

    /// Whether exchanges at a place regularly begin when fewer are open at another one.
    fn leads(&self, slot: Slot, other: usize) -> bool {
        self.counts.get(usize::from(slot.0)).is_some_and(|count| {
            let led = count.led.get(other).copied().unwrap_or(0);
            count.began >= ENOUGH && led >= count.began / 10 * 9
        })
    }
}

/// Endpoints of a host that are looked at, and one for all others; further ones may stand anywhere.
const MOST_PLACES: usize = 16;
/// Exchanges that tell.
const ENOUGH: u64 = 32;
/// When so many have been counted, they count half: what begins to be asked for others is soon known.
const MOST_COUNTED: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// So many endpoints.
    fn slots<const COUNT: usize>(nesting: &mut Nesting) -> [Slot; COUNT] {
        std::array::from_fn(|_| nesting.add(0).unwrap())
    }

    #[test]
    fn a_front_leads_and_its_upstream_follows() {
        let mut nesting = Nesting::default();
        let [front, upstream] = slots(&mut nesting);
        // As busy as can be: never is nothing open.
        for _ in 0..4 {
            nesting.begin(front);
        }
        for _ in 0..100 {
            nesting.begin(front);
            nesting.begin(upstream);
            nesting.end(upstream);
            nesting.end(front);
        }
        assert!(nesting.is_outermost(front) && !nesting.is_outermost(upstream));
        assert!(nesting.may_stand_behind(upstream, front) && !nesting.may_stand_behind(front, upstream));
    }

    #[test]
    fn the_middle_of_a_chain_is_behind_its_front_only() {
        let mut nesting = Nesting::default();
        let [front, middle, upstream] = slots(&mut nesting);
        for _ in 0..40 {
            [front, middle, upstream].into_iter().for_each(|slot| nesting.begin(slot));
            [upstream, middle, front].into_iter().for_each(|slot| nesting.end(slot));
        }
        assert!(nesting.is_outermost(front) && !nesting.is_outermost(middle));
        assert!(nesting.may_stand_behind(middle, front) && !nesting.may_stand_behind(middle, upstream));
    }

    #[test]
    fn an_upstream_that_gets_copies_of_requests_still_follows() {
        let mut nesting = Nesting::default();
        let [front, upstream] = slots(&mut nesting);
        for _ in 0..40 {
            [front, upstream, upstream, upstream].into_iter().for_each(|slot| nesting.begin(slot));
            [upstream, upstream, upstream, front].into_iter().for_each(|slot| nesting.end(slot));
        }
        assert!(nesting.may_stand_behind(upstream, front));
        assert!(nesting.is_outermost(front) && !nesting.is_outermost(upstream));
    }

    #[test]
    fn a_slow_upstream_is_not_in_front_of_a_fast_one() {
        let mut nesting = Nesting::default();
        let [slow, fast] = slots(&mut nesting);
        // Each is asked for the sake of an exchange elsewhere.
        for _ in 0..2 {
            [Slot::ELSEWHERE, slow].into_iter().for_each(|slot| nesting.begin(slot));
        }
        for _ in 0..40 {
            [Slot::ELSEWHERE, slow].into_iter().for_each(|slot| nesting.begin(slot));
            [Slot::ELSEWHERE, fast].into_iter().for_each(|slot| nesting.begin(slot));
            [fast, Slot::ELSEWHERE].into_iter().for_each(|slot| nesting.end(slot));
            [slow, Slot::ELSEWHERE].into_iter().for_each(|slot| nesting.end(slot));
        }
        assert!(!nesting.is_outermost(slow) && !nesting.is_outermost(fast));
    }

    #[test]
    fn an_upstream_of_two_fronts_may_stand_behind_the_one_that_is_idle() {
        let mut nesting = Nesting::default();
        let [idle, upstream] = slots(&mut nesting);
        for _ in 0..40 {
            for _ in 0..4 {
                [Slot::ELSEWHERE, upstream].into_iter().for_each(|slot| nesting.begin(slot));
            }
            [idle, upstream].into_iter().for_each(|slot| nesting.begin(slot));
            [upstream, idle].into_iter().for_each(|slot| nesting.end(slot));
            for _ in 0..4 {
                [upstream, Slot::ELSEWHERE].into_iter().for_each(|slot| nesting.end(slot));
            }
        }
        assert!(nesting.may_stand_behind(upstream, idle));
    }

    #[test]
    fn what_cannot_be_is_taken_back_once_it_is_known() {
        let mut nesting = Nesting::default();
        let [front, upstream] = slots(&mut nesting);
        nesting.note_attempt(front, upstream);
        nesting.note_attempt(upstream, front);
        assert_eq!([nesting.take_back(front, upstream), nesting.take_back(upstream, front)], [0, 0]);
        let mut asked = Vec::new();
        for nth in 1..=2 * MOST_COUNTED {
            [front, upstream].into_iter().for_each(|slot| nesting.begin(slot));
            [upstream, front].into_iter().for_each(|slot| nesting.end(slot));
            asked.extend(nesting.is_time_to_ask(front).then_some(nth));
        }
        assert_eq!(asked, [ENOUGH, MOST_COUNTED / 2 + 1, MOST_COUNTED + 1, MOST_COUNTED / 2 * 3 + 1]);
        assert_eq!([nesting.take_back(front, upstream), nesting.take_back(upstream, front)], [1, 0]);
        assert_eq!(nesting.take_back(front, upstream), 0, "it is taken back once");
    }

    #[test]
    fn a_host_may_have_more_endpoints_than_are_looked_at() {
        let mut nesting = Nesting::default();
        let [_, ..] = slots::<{ MOST_PLACES - 1 }>(&mut nesting);
        assert_eq!(nesting.add(0), None);
    }
}
