//! Offsets of which is to be told when the peer has acknowledged them.

/// The offsets. Nearly always there is one, or none.
#[derive(Debug)]
pub(super) struct Watched {
    /// The least, or [`NONE`].
    next: u64,
    /// The others, in order.
    later: Option<Box<Later>>,
}

#[derive(Debug, Default)]
struct Later {
    offsets: Vec<u64>,
}

impl Default for Watched {
    fn default() -> Self {
        Self { next: NONE, later: None }
    }
}

impl Watched {
    /// Watches one more. Where there are too many the last one makes room: the end of a message that the snaplen cut moves on
    /// with each segment, and the latest one counts.
    #[inline]
    pub(super) fn add(&mut self, offset: u64) {
        if self.next == NONE {
            self.next = offset;
        } else {
            self.add_later(offset);
        }
    }

    #[cold]
    fn add_later(&mut self, offset: u64) {
        let (least, later) = (self.next.min(offset), self.next.max(offset));
        self.next = least;
        let Later { offsets } = &mut **self.later.get_or_insert_default();
        if offsets.len() + 1 >= MOST {
            offsets.pop();
        }
        offsets.insert(offsets.partition_point(|earlier| *earlier <= later), later);
    }

    /// Whether one is reached by what was acknowledged up to an offset.
    #[inline]
    pub(super) fn are_reached(&self, acknowledged: u64) -> bool {
        self.next <= acknowledged
    }

    /// Takes the least that is reached.
    #[inline]
    pub(super) fn take(&mut self, acknowledged: u64) -> Option<u64> {
        let reached = self.next;
        if reached > acknowledged {
            return None;
        }
        self.next = if self.later.is_some() { self.take_later() } else { NONE };
        Some(reached)
    }

    #[cold]
    fn take_later(&mut self) -> u64 {
        let Some(Later { offsets }) = self.later.as_deref_mut() else { return NONE };
        let next = if offsets.is_empty() { NONE } else { offsets.remove(0) };
        if offsets.is_empty() {
            self.later = None;
        }
        next
    }
}

/// No offset: nothing is ever acknowledged up to here.
const NONE: u64 = u64::MAX;
/// Offsets that are watched.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_taken_in_order_and_once() {
        let mut watched = Watched::default();
        assert!(!watched.are_reached(u64::MAX - 1));
        for offset in [30, 10, 20, 20, 40] {
            watched.add(offset);
        }
        assert!(watched.are_reached(10) && !watched.are_reached(9));
        let taken: Vec<u64> = std::iter::from_fn(|| watched.take(30)).collect();
        assert_eq!(taken, [10, 20, 20, 30]);
        assert_eq!((watched.take(39), watched.take(40), watched.take(u64::MAX - 1)), (None, Some(40), None));
        assert!(watched.later.is_none());
    }

    #[test]
    fn of_too_many_the_last_makes_room() {
        let mut watched = Watched::default();
        (0..100).for_each(|offset| watched.add(offset));
        let taken: Vec<u64> = std::iter::from_fn(|| watched.take(1000)).collect();
        assert_eq!(taken.len(), MOST);
        assert_eq!(taken.last(), Some(&99));
    }
}
