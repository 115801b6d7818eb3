//! The keys of a connection: which secret protects which record of which direction.
//!
//! ```text
//!   TLS 1.3   client   [early data] ─► handshake ─► application data ─► updated …
//!             server                   handshake ─► application data ─► updated …
//!   TLS 1.2   both     in clear ─► ChangeCipherSpec ─► master secret
//! ```
//!
//! Where a direction goes over to the next keys is not read from its messages but seen by what opens: a record whose tag is
//! right under a key was protected with it. So neither holes nor secrets that the log lacks lead astray.

use crate::event::Side;
use crate::observe::decrypted::records::Missed;
use crate::observe::secrets::{Secrets, Session};
use crate::wire::tls::agreed::Chosen;
use crate::wire::tls::keylog::{Label, Random};
use crate::wire::tls::protect::{Agreed, Opener, Record, of_master};

/// What is known of a connection's keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) client: Option<Random>,
    pub(super) chosen: Option<Chosen>,
    directions: [Direction; 2],
}

/// The keys of a direction.
#[derive(Debug)]
struct Direction {
    opener: Option<(Label, Opener)>,
    /// A ChangeCipherSpec was seen: in TLS 1.2 what follows is protected.
    changed: bool,
    /// Attempts that may still fail. A direction that cannot be opened must not cost more than one that can.
    attempts: u32,
}

impl Default for Direction {
    fn default() -> Self {
        Self { opener: None, changed: false, attempts: MOST_ATTEMPTS }
    }
}

/// A record that was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) content_type: u8,
    /// What protected it.
    pub(super) label: Label,
    /// Records under the same keys that are missing before it.
    pub(super) lost: u64,
    /// How these keys follow the ones before.
    pub(super) keys: Follow,
    /// Octets of a record besides its plaintext, where they are the same for all.
    pub(super) overhead: Option<usize>,
}

/// How the keys of a record follow those of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// They are the same.
    Same,
    /// They are those of the next secret.
    Next,
    /// They are made from the same secret, by a KeyUpdate.
    Updated,
}

impl Keys {
    /// Whether a record is protected.
    pub(super) fn protect(&self, side: Side, record: &Record<'_>) -> bool {
        let changed = self.direction(side).changed && self.chosen.is_some_and(|chosen| chosen.version < TLS_1_3);
        changed || record.content_type == APPLICATION_DATA
    }

    /// A side goes over to new keys.
    pub(super) fn change(&mut self, side: Side) {
        let direction = self.direction_mut(side);
        direction.changed = true;
        direction.opener = None;
    }

    /// The secrets of the connection, where all that its application data takes are there: requests without their responses
    /// would tell a wrong story.
    pub(super) fn session<'s>(&self, secrets: &'s Secrets) -> Option<&'s Session> {
        let is_there = |session: &&Session, label| session.get(label).is_some();
        let named = secrets.of(self.client.as_ref()?).filter(|session| {
            is_there(session, Label::Master)
                || is_there(session, Label::ClientApplication) && is_there(session, Label::ServerApplication)
        });
        // In TLS 1.3 the id is the client's, echoed, and names nothing.
        let session = self.chosen.filter(|chosen| chosen.version < TLS_1_3).and_then(|chosen| chosen.session);
        named.or_else(|| secrets.of(session.as_ref()?).filter(|session| is_there(session, Label::Master)))
    }

    /// Whether a direction is given up.
    pub(super) fn is_lost(&self, side: Side) -> bool {
        self.direction(side).attempts == 0
    }

    /// Opens a record into `plaintext`.
    pub(super) fn open(
        &mut self,
        side: Side,
        record: &Record<'_>,
        missed: &Missed,
        session: Option<&Session>,
        plaintext: &mut Vec<u8>,
    ) -> Option<Opened> {
        let (client, chosen) = (self.client, self.chosen);
        let direction = self.direction_mut(side);
        let lost = missed.records();
        if direction.attempts == 0 {
            return None;
        }
        let current = direction.opener.as_mut().map(|(label, opener)| (*label, opener));
        if let Some((label, opener)) = current
            && let Some((content_type, lost)) = opener.open_behind(lost.clone(), record, plaintext)
        {
            return Some(Opened { content_type, label, lost, keys: Follow::Same, overhead: opener.overhead() });
        }
        let mut cost = 1 + lost.end() - lost.start();
        let newer = session.zip(client).map(|(session, client)| {
            let current = direction.opener.as_ref();
            successors(side, current, client, chosen, session)
        });
        for (label, mut opener) in newer.unwrap_or_default() {
            cost += lost.end() + 1;
            if let Some((content_type, lost)) = opener.open_behind(0..=*lost.end(), record, plaintext) {
                let overhead = opener.overhead();
                let before = direction.opener.replace((label, opener));
                let is_updated = before.is_some_and(|(of, _)| of == label);
                let keys = if is_updated { Follow::Updated } else { Follow::Next };
                return Some(Opened { content_type, label, lost, keys, overhead });
            }
        }
        direction.attempts = direction.attempts.saturating_sub(u32::try_from(cost).unwrap_or(u32::MAX));
        None
    }

    fn direction(&self, side: Side) -> &Direction {
        let [client, server] = &self.directions;
        if side == Side::Client { client } else { server }
    }

    fn direction_mut(&mut self, side: Side) -> &mut Direction {
        let [client, server] = &mut self.directions;
        if side == Side::Client { client } else { server }
    }
}

/// The openers of what may come next in a direction, as far as there are secrets.
fn successors(
    side: Side,
    current: Option<&(Label, Opener)>,
    client: Random,
    chosen: Option<Chosen>,
    session: &Session,
) -> Vec<(Label, Opener)> {
    let Some(chosen) = chosen.filter(|chosen| chosen.version < TLS_1_3) else {
        let labels = match side {
            Side::Client => [Label::ClientEarly, Label::ClientHandshake, Label::ClientApplication].as_slice(),
            Side::Server => &[Label::ServerHandshake, Label::ServerApplication],
        };
        let passed = current.and_then(|(label, _)| labels.iter().position(|of| of == label)).map_or(0, |at| at + 1);
        let secrets = labels.iter().skip(passed).filter_map(|label| Some((*label, session.get(*label)?)));
        // Early data comes before the ServerHello says which suite is used.
        let suites = chosen.map_or(SUITES.to_vec(), |chosen| vec![chosen.suite]);
        let openers = secrets.flat_map(|(label, secret)| {
            suites.iter().filter_map(move |suite| Some((label, Opener::of_traffic_secret(*suite, secret)?)))
        });
        let updated = current.and_then(|(label, opener)| Some((*label, opener.updated()?)));
        return openers.chain(updated).collect();
    };
    let agreed = Agreed {
        version: chosen.version,
        suite: chosen.suite,
        randoms: [client, chosen.random],
        encrypt_then_mac: chosen.encrypt_then_mac,
    };
    let is_new = current.is_none() && !chosen.compressed;
    let openers = session.get(Label::Master).filter(|_| is_new).and_then(|master| of_master(&agreed, master));
    let of_side = openers.map(|[client, server]| if side == Side::Client { client } else { server });
    of_side.map(|opener| (Label::Master, opener)).into_iter().collect()
}

const APPLICATION_DATA: u8 = 23;

const TLS_1_3: u16 = 0x0304;

/// The suites of TLS 1.3.
const SUITES: [u16; 5] = [0x1301, 0x1302, 0x1303, 0x1304, 0x1305];

/// Failed attempts for a direction. A few holes cost this many, and 64 MiB of deciphering at most.
const MOST_ATTEMPTS: u32 = 4096;
