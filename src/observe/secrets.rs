//! The secrets of TLS connections that the user has: lines of key logs in, the secrets of a connection out.

use std::collections::{HashMap, VecDeque};

use smallvec::SmallVec;

use crate::wire::tls::keylog::{Entry, Label, Random, Secret};

/// Secrets by the random of their ClientHello. Beyond its bound those that were learned first are forgotten.
#[derive(Debug)]
pub struct Secrets {
    sessions: HashMap<Random, Session>,
    order: VecDeque<Random>,
    most_bytes: usize,
    held_bytes: usize,
    learned: u64,
    forgotten: u64,
    may_grow: bool,
    /// Some are named by sessions.
    of_sessions: bool,
}

/// The secrets of a connection. TLS 1.2 has one, TLS 1.3 four or five.
#[derive(Clone, Debug, Default)]
pub struct Session {
    secrets: SmallVec<[(Label, Secret); 1]>,
}

impl Session {
    /// The secret for a purpose.
    #[must_use]
    pub fn get(&self, label: Label) -> Option<&Secret> {
        self.secrets.iter().find(|(of, _)| *of == label).map(|(_, secret)| secret)
    }

    fn weight(&self) -> usize {
        SESSION_BYTES + if self.secrets.spilled() { self.secrets.capacity() * size_of::<(Label, Secret)>() } else { 0 }
    }
}

impl Secrets {
    /// No secrets, and room for so many octets of memory.
    #[must_use]
    pub fn new(most_bytes: usize) -> Self {
        Self {
            sessions: HashMap::new(),
            order: VecDeque::new(),
            most_bytes,
            held_bytes: 0,
            learned: 0,
            forgotten: 0,
            may_grow: false,
            of_sessions: false,
        }
    }

    /// Secrets may come after the packets that they are for.
    pub fn may_grow(&mut self) {
        self.may_grow = true;
    }

    /// Takes a line. Of two that differ the later one counts.
    pub fn learn(&mut self, entry: &Entry) {
        let Entry { random, of_session, label, secret } = entry;
        self.of_sessions |= of_session;
        let session = self.sessions.entry(*random).or_default();
        let before = if session.secrets.is_empty() { 0 } else { session.weight() };
        match session.secrets.iter_mut().find(|(of, _)| of == label) {
            Some((_, known)) if known == secret => return,
            Some((_, known)) => *known = *secret,
            None => session.secrets.push((*label, *secret)),
        }
        self.learned += 1;
        self.held_bytes = (self.held_bytes + session.weight()).saturating_sub(before);
        if before == 0 {
            self.order.push_back(*random);
        }
        while self.held_bytes > self.most_bytes
            && let Some(oldest) = self.order.pop_front()
        {
            let weight = self.sessions.remove(&oldest).map_or(0, |session| session.weight());
            self.held_bytes = self.held_bytes.saturating_sub(weight);
            self.forgotten += 1;
        }
    }

    /// Whether some are named by the id of a session, which only the ServerHello tells.
    #[must_use]
    pub const fn name_sessions(&self) -> bool {
        self.of_sessions
    }

    /// The secrets of the connection whose ClientHello has this random, or whose session has this id.
    #[must_use]
    pub fn of(&self, random: &Random) -> Option<&Session> {
        self.sessions.get(random)
    }

    /// Whether there are none, and none are to come.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.learned == 0 && !self.may_grow
    }

    /// Whether secrets may come after the packets that they are for.
    #[must_use]
    pub const fn are_growing(&self) -> bool {
        self.may_grow
    }

    /// How many lines were taken: what was looked for in vain need not be looked for again before this changes.
    #[must_use]
    pub const fn learned(&self) -> u64 {
        self.learned
    }

    /// Connections whose secrets were forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Octets that a session takes in the map and in the order, about.
const SESSION_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(random: u8, label: Label, octet: u8) -> Entry {
        Entry { random: [random; 32], of_session: false, label, secret: Secret::new(&[octet; 48]).unwrap() }
    }

    #[test]
    fn a_connection_has_the_secrets_of_its_random() {
        let mut secrets = Secrets::new(1 << 20);
        assert!(secrets.are_none());
        for entry in
            [entry(1, Label::Master, 1), entry(2, Label::ClientEarly, 2), entry(2, Label::ClientApplication, 3)]
        {
            secrets.learn(&entry);
        }
        let get = |random, label| secrets.of(&[random; 32]).and_then(|session| session.get(label)).copied();
        assert_eq!(get(1, Label::Master), Secret::new(&[1; 48]));
        assert_eq!(get(2, Label::ClientApplication), Secret::new(&[3; 48]));
        assert_eq!((get(2, Label::Master), get(3, Label::Master)), (None, None));
    }

    #[test]
    fn a_line_that_is_repeated_costs_nothing_and_one_that_differs_counts() {
        let mut secrets = Secrets::new(1 << 20);
        (0..1000).for_each(|_| secrets.learn(&entry(1, Label::Master, 1)));
        assert_eq!((secrets.learned(), secrets.held_bytes), (1, SESSION_BYTES));
        secrets.learn(&entry(1, Label::Master, 2));
        assert_eq!(secrets.of(&[1; 32]).and_then(|session| session.get(Label::Master)).copied(), Secret::new(&[2; 48]));
    }

    #[test]
    fn what_was_learned_first_is_forgotten_first() {
        let mut secrets = Secrets::new(10 * SESSION_BYTES);
        (0..12).for_each(|random| secrets.learn(&entry(random, Label::Master, 1)));
        assert_eq!(secrets.forgotten(), 2);
        assert!(secrets.of(&[1; 32]).is_none() && secrets.of(&[2; 32]).is_some());
        assert!(secrets.held_bytes <= secrets.most_bytes);
    }
}
