//! The half that turns frames into events, in one thread: what steers, and the one shard that all is steered to.

use crate::event::{Event, Moment};
use crate::flow::share::Share;
use crate::flow::steer::{Captured, Counters, Steer, Taken};
use crate::limits::Limits;
use crate::shard::{GivenUp, Shard};
use crate::time::Timestamp;
use crate::wire::tls::keylog::Entry;

/// The half that turns frames into events.
pub struct Below {
    steer: Steer,
    shard: Shard,
    events: Vec<Event>,
    last: Option<Moment>,
}

/// What the lower half says of itself at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// What went through.
    pub counters: Counters,
    /// What was given up for want of room.
    pub given_up: GivenUp,
    /// Where there were secrets to decrypt with, how many of them were forgotten.
    pub secrets: Option<u64>,
}

impl Passed {
    /// With what a shard says.
    #[must_use]
    pub fn with(self, shard: &Shard) -> Self {
        let (secrets, GivenUp { connections, octets }) = (shard.secrets(), shard.given_up());
        // Every shard has all secrets.
        let forgotten = (!secrets.are_none()).then(|| secrets.forgotten());
        let given_up =
            GivenUp { connections: self.given_up.connections + connections, octets: self.given_up.octets + octets };
        Self { given_up, secrets: self.secrets.max(forgotten), ..self }
    }
}

impl Below {
    /// Nothing was taken so far.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let steer = Steer::new(limits);
        Self { shard: Shard::new(limits, steer.keys()), steer, events: Vec::new(), last: None }
    }

    /// Takes a frame.
    #[inline(always)] // Nearly all is decided by what is at hand here.
    pub fn take(&mut self, captured: &Captured<'_>) {
        let Self { steer, shard, events, last } = self;
        let (moment, focused) = (captured.moment(), captured.focused);
        *last = Some(moment);
        if steer.is_time(captured.at) {
            shard.look(moment, events);
        }
        match steer.take_plain(captured) {
            Taken::Segment(sent, course) => {
                if let Some(server) = course.serves {
                    shard.note_server(server);
                }
                shard.segment(sent, course.key, focused, moment, events);
            }
            Taken::Beyond(beyond, course) => shard.beyond(&beyond, course.key, focused, moment, events),
            Taken::Copy => {}
            // Copied, what most frames need stays out of memory.
            Taken::Nothing => steer.take_other(&{ *captured }, move |held, course| {
                if let Some(server) = course.serves {
                    shard.note_server(server);
                }
                shard.take(held, course.key, focused, moment, events);
            }),
        }
    }

    /// Takes secrets of TLS connections.
    pub fn learn(&mut self, secrets: &[Entry]) {
        if !secrets.is_empty() {
            self.shard.learn(secrets, self.last, &mut self.events);
        }
    }

    /// Secrets may come after the packets that they are for: these wait for them, a while.
    pub fn may_learn_late(&mut self) {
        self.shard.may_learn_late();
    }

    /// All frames up to `at` were taken. Gives back until when time has passed; `None` where there was no frame.
    pub fn pass_time(&mut self, at: Timestamp) -> Option<Timestamp> {
        let last = self.last?;
        let moment = Moment { at: at.max(last.at), ..last };
        self.shard.look(moment, &mut self.events);
        Some(moment.at)
    }

    /// From now on only a share of the connections is followed. Gives back since when; `None` where there was no frame.
    pub fn follow(&mut self, share: Share) -> Option<Timestamp> {
        let last = self.last?;
        self.shard.follow(share, last, &mut self.events);
        Some(last.at)
    }

    /// The capture ended: what is open is given out, in parts. Returns whether there is more.
    pub fn end(&mut self) -> bool {
        let Some(last) = self.last else { return false };
        let more = self.shard.finish(last, &mut self.events);
        self.last = self.last.filter(|_| more);
        more
    }

    /// What was given out and not yet taken.
    #[inline]
    #[must_use]
    pub fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    /// What went through so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        Passed { counters: self.steer.counters(), ..Passed::default() }.with(&self.shard)
    }
}
