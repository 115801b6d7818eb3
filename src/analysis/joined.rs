//! The events of several shards as one stream, as if one shard had followed all connections: in the order of the frames, and with
//! connections numbered in the order of first sight.
//!
//! Frames go to the shards in batches, and each shard gives a part for every batch. What it gives for its frames is put where the
//! frames stood; what it gives because it was time, or the end, stands before, in the order of connections.

use std::collections::VecDeque;

use crate::correlate::numbering::Numbered;
use crate::event::{ConnectionId, Event, What};

/// What a shard gave for a batch of frames. Its connections are numbered by itself.
#[derive(Debug, Default)]
pub struct Part {
    /// What was given before the frames, in the order of connections.
    pub before: Vec<Event>,
    /// What was given for frames.
    pub events: Vec<Event>,
    /// How many events there were after each of the shard's frames.
    pub ends: Vec<u32>,
}

impl Part {
    /// Empties it.
    pub fn clear(&mut self) {
        self.before.clear();
        self.events.clear();
        self.ends.clear();
    }
}

/// What joins.
#[derive(Debug, Default)]
pub struct Joined {
    /// Of each shard the numbers that its connections go by.
    numbers: Vec<Numbered<ConnectionId>>,
    opened: u64,
}

impl Joined {
    /// For so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { numbers: (0..shards).map(|_| Numbered::default()).collect(), opened: 0 }
    }

    /// Gives the events of a batch in order. `turns` says of every frame which shard it went to; `parts` are the shards', in
    /// their order, and are empty afterwards.
    pub fn batch(&mut self, parts: &mut [Part], turns: &[u8], give: &mut impl FnMut(Event)) {
        let mut before: Vec<Event> = Vec::new();
        for (shard, part) in parts.iter_mut().enumerate() {
            before.extend(part.before.drain(..).map(|event| self.numbered(shard, event)));
        }
        before.sort_by_key(|event| event.connection);
        before.into_iter().for_each(&mut *give);
        let mut rests: Vec<_> = parts.iter_mut().map(|part| (part.events.drain(..), part.ends.drain(..), 0)).collect();
        for turn in turns {
            let shard = usize::from(*turn);
            let Some((events, ends, taken)) = rests.get_mut(shard) else { continue };
            let end = ends.next().unwrap_or(*taken);
            for event in events.by_ref().take((end - *taken) as usize) {
                give(self.numbered(shard, event));
            }
            *taken = end;
        }
    }

    /// Gives what the shards give at the end, connection by connection. `next` gives more of a shard's, and nothing when that was
    /// all.
    pub fn end(&mut self, next: &mut impl FnMut(usize) -> Option<Vec<Event>>, give: &mut impl FnMut(Event)) {
        let mut rests: Vec<VecDeque<Event>> = self.numbers.iter().map(|_| VecDeque::new()).collect();
        let mut are_more = vec![true; rests.len()];
        loop {
            for ((shard, rest), is_more) in rests.iter_mut().enumerate().zip(&mut are_more) {
                while rest.is_empty() && *is_more {
                    match next(shard) {
                        Some(events) => rest.extend(events.into_iter().map(|event| self.numbered(shard, event))),
                        None => *is_more = false,
                    }
                }
            }
            let first =
                rests.iter_mut().filter(|rest| !rest.is_empty()).min_by_key(|rest| rest.front().map(|e| e.connection));
            let Some(first) = first else { return };
            let connection = first.front().and_then(|event| event.connection);
            while first.front().is_some_and(|event| event.connection == connection)
                && let Some(event) = first.pop_front()
            {
                give(event);
            }
        }
    }

    /// An event with the number that its connection goes by.
    fn numbered(&mut self, shard: usize, event: Event) -> Event {
        let Some((own, numbers)) = event.connection.zip(self.numbers.get_mut(shard)) else { return event };
        if matches!(event.what, What::Opened(_)) {
            numbers.insert(own.0, ConnectionId(self.opened));
            self.opened += 1;
        }
        let number = match event.what {
            What::Gone(_) => numbers.remove(own.0),
            _ => numbers.get(own.0).copied(),
        };
        Event { connection: number, ..event }
    }
}
