//! Connections whose packets a router on the way gives other addresses or ports (RFC 3022), and which the capture holds as they
//! were before as well: of these only the packets before are followed, and those behind are copies.

use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::Flags;

/// What a router does to connections, by their keys.
#[derive(Debug)]
pub(super) struct Translations {
    /// Those that are others behind it, and when the latest packet of theirs was seen.
    known: HashMap<u64, Timestamp, DefaultHashBuilder>,
    /// Those of which it was told that the capturing host passes them on.
    forwarded: HashSet<u64, DefaultHashBuilder>,
    most: usize,
    idle: Duration,
}

impl Translations {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { known: HashMap::default(), forwarded: HashSet::default(), most: limits.connections, idle: limits.idle }
    }

    /// Whether a connection is another one behind a router. A SYN may begin one that is not.
    #[inline]
    pub(super) fn is_known(&mut self, key: u64, at: Timestamp, flags: Flags) -> bool {
        !self.known.is_empty() && self.is_among(key, at, flags)
    }

    #[cold]
    fn is_among(&mut self, key: u64, at: Timestamp, flags: Flags) -> bool {
        let Some(latest) = self.known.get_mut(&key) else { return false };
        let is_same = at.since(*latest) < self.idle && (!flags.syn() || flags.ack());
        *latest = at;
        if !is_same {
            self.known.remove(&key);
        }
        is_same
    }

    /// A connection is another one behind a router. `false` where there is no room to remember it.
    pub(super) fn learn(&mut self, key: u64, at: Timestamp) -> bool {
        if self.known.len() >= self.most {
            let idle = self.idle;
            self.known.retain(|_, latest| at.since(*latest) < idle);
        }
        let is_room = self.known.len() < self.most;
        if is_room {
            self.known.insert(key, at);
        }
        is_room
    }

    /// The capturing host passes a connection on. `true` where that was not told of it, as far as is remembered.
    pub(super) fn note_forwarded(&mut self, key: u64) -> bool {
        if self.forwarded.len() >= MOST_FORWARDED {
            self.forwarded.clear();
        }
        self.forwarded.insert(key)
    }
}

/// Connections of which it is remembered that the host passes them on. Told again it does no harm.
const MOST_FORWARDED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Flags = Flags(Flags::ACK);
    const SYN: Flags = Flags(Flags::SYN);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn translations(most: usize) -> Translations {
        Translations::new(&Limits { connections: most, idle: Duration::from_secs(60), ..Limits::default() })
    }

    #[test]
    fn a_connection_is_known_until_it_is_silent_for_too_long() {
        let mut translations = translations(8);
        assert!(!translations.is_known(1, at(0), ACK));
        assert!(translations.learn(1, at(0)));
        assert_eq!(
            [at(59), at(118), at(178), at(179)].map(|at| translations.is_known(1, at, ACK)),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_syn_may_begin_another_one_and_its_answer_does_not() {
        let mut translations = translations(8);
        translations.learn(1, at(0));
        assert!(translations.is_known(1, at(1), Flags(Flags::SYN | Flags::ACK)));
        assert!(!translations.is_known(1, at(1), SYN));
        assert!(!translations.is_known(1, at(1), ACK));
    }

    #[test]
    fn there_is_room_again_where_others_are_silent() {
        let mut translations = translations(2);
        assert_eq!([1, 2, 3].map(|key| translations.learn(key, at(0))), [true, true, false]);
        assert!(translations.learn(3, at(60)));
        assert!(translations.is_known(3, at(60), ACK));
    }

    #[test]
    fn what_is_passed_on_is_news_once() {
        let mut translations = translations(2);
        assert_eq!([1, 1, 2].map(|key| translations.note_forwarded(key)), [true, false, true]);
    }
}
