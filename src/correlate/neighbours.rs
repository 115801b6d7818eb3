//! Whose address on its link a host asks for, and whether anybody answers: before the first packet to a neighbour, or to
//! the router on the way to others, can leave, its link address has to be known.
//!
//! ```text
//!   who has 10.0.0.9? ---- 1 s ---- who has 10.0.0.9? ---- 1 s ---- who has 10.0.0.9? ---- 1 s ---- the kernel gives up
//! ```

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::event::{Moment, Neighbour};
use crate::time::Timestamp;

/// A search for a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Who asked.
    pub asker: IpAddr,
    /// For whom.
    pub target: IpAddr,
    /// The first question.
    pub first: Moment,
    /// The latest question.
    pub last: Moment,
    /// The one before that.
    before: Moment,
    /// How many there were.
    pub times: u32,
    /// When the target, or somebody for it, told.
    answered: Option<Timestamp>,
}

impl Search {
    /// What was seen of it by a moment.
    #[must_use]
    pub fn until(&self, moment: Moment) -> Self {
        if self.last <= moment {
            *self
        } else if self.before <= moment {
            Self { last: self.before, times: (self.times - 1).max(1), ..*self }
        } else {
            // The first of more.
            Self { last: self.first, times: 1, ..*self }
        }
    }
}

/// The searches of late, by whom they are for.
#[derive(Debug, Default)]
pub struct Neighbours {
    searches: HashMap<IpAddr, SmallVec<[Search; 1]>>,
    /// Whether the capture has answers at all.
    hears_answers: bool,
    /// Whether the capture has anything but TCP.
    is_beside_tcp: bool,
}

impl Neighbours {
    /// Something else than TCP was captured.
    pub(super) fn note_beside_tcp(&mut self) {
        self.is_beside_tcp = true;
    }

    /// Whether nothing but TCP was captured so far, as a filter on ports leaves it: then that no ICMP error came tells nothing.
    #[must_use]
    pub const fn is_tcp_alone(&self) -> bool {
        !self.is_beside_tcp
    }

    /// Takes a question or an answer.
    pub(super) fn take(&mut self, moment: Moment, told: Neighbour) {
        let Some(asker) = told.asker else {
            self.hears_answers = true;
            for search in self.searches.get_mut(&told.target).into_iter().flatten() {
                search.answered.get_or_insert(moment.at);
            }
            return;
        };
        if self.searches.len() >= MOST_TARGETS && !self.searches.contains_key(&told.target) {
            let is_recent = |search: &Search| moment.at.since(search.last.at) < REMEMBERED;
            self.searches.retain(|_, searches| searches.iter().any(is_recent));
            if self.searches.len() >= MOST_TARGETS {
                return;
            }
        }
        let begins = Search {
            asker,
            target: told.target,
            first: moment,
            last: moment,
            before: moment,
            times: 1,
            answered: None,
        };
        let searches = self.searches.entry(told.target).or_default();
        let has_room = searches.len() < MOST_ASKERS;
        match searches.iter_mut().find(|search| search.asker == asker) {
            Some(search) if search.answered.is_some() || moment.at.since(search.last.at) > APART => *search = begins,
            // A bridge, or an interface that doubles packets, shows one question several times.
            Some(search) if moment.at.since(search.last.at) < AT_ONCE => {}
            Some(search) => {
                (search.before, search.last, search.times) = (search.last, moment, search.times + 1);
            }
            None if has_room => searches.push(begins),
            None => {}
        }
    }

    /// The searches for `target` that nobody had answered by `until`.
    pub fn unanswered_for(&self, target: IpAddr, until: Timestamp) -> impl Iterator<Item = &Search> {
        self.searches.get(&target).into_iter().flatten().filter(move |search| search.is_unanswered(until))
    }

    /// All searches that nobody had answered by `until`, in the order of time.
    #[must_use]
    pub fn unanswered(&self, until: Timestamp) -> Vec<&Search> {
        let all = self.searches.values().flatten();
        let mut found: Vec<&Search> = all.filter(|search| search.is_unanswered(until)).collect();
        found.sort_unstable_by_key(|search| search.first);
        found
    }

    /// Whether the capture has answers to such questions: else that there is none tells nothing.
    #[must_use]
    pub fn hears_answers(&self) -> bool {
        self.hears_answers
    }
}

impl Search {
    fn is_unanswered(&self, until: Timestamp) -> bool {
        self.first.at <= until && self.answered.is_none_or(|answered| answered > until)
    }
}

/// Targets that are remembered: more than the neighbours of a /20.
const MOST_TARGETS: usize = 4096;
/// Askers of one target that are remembered.
const MOST_ASKERS: usize = 4;
/// For how long, where there is no room.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Questions further apart belong to different searches: kernels repeat them each second.
const APART: Duration = Duration::from_millis(2500);
/// Questions that come sooner are copies.
const AT_ONCE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Frame;

    fn moment(ms: i64) -> Moment {
        Moment { at: Timestamp::from_nanos(ms * 1_000_000), frame: Frame::new(0, ms.cast_unsigned() + 1) }
    }

    fn told(asker: Option<u8>, target: u8) -> Neighbour {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        Neighbour { asker: asker.map(address), target: address(target) }
    }

    #[test]
    fn questions_that_nobody_answers_are_one_search() {
        let mut neighbours = Neighbours::default();
        for ms in [0, 3, 1000, 2000] {
            neighbours.take(moment(ms), told(Some(1), 9));
        }
        let until = moment(2500).at;
        let found = neighbours.unanswered(until);
        assert_eq!(found.iter().map(|search| search.times).collect::<Vec<_>>(), [3]);
        assert!(!neighbours.hears_answers());
        neighbours.take(moment(3000), told(None, 9));
        assert_eq!(neighbours.unanswered(until).len(), 1, "the answer came later");
        assert!(neighbours.unanswered(moment(3000).at).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut neighbours = Neighbours::default();
        for target in 0..20_000_u32 {
            let target = IpAddr::from(target.to_be_bytes());
            neighbours.take(moment(1), Neighbour { asker: Some(IpAddr::from([10, 0, 0, 1])), target });
        }
        assert_eq!(neighbours.searches.len(), MOST_TARGETS);
    }
}
