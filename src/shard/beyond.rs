//! What the packets tell of a connection that are seen again behind a router.

use crate::event::{Endpoint, Event, Moment, Side, Translated, What};
use crate::flow::connection::Connection;
use crate::flow::steer::{Beyond, is_lesser};
use crate::shard::{Shard, telling};

impl Shard {
    /// A packet of a connection was seen behind a router as well.
    #[cold]
    pub fn beyond(&mut self, beyond: &Beyond, key: u64, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        let Some(place) = self.table.by_key(key) else { return };
        let Connection { id, client, server, .. } = place.connection;
        let sender = if is_lesser([client, server]) == beyond.from_lesser { Side::Client } else { Side::Server };
        let receiver = sender.other();
        let from = Endpoint::from(if receiver == Side::Client { client } else { server });
        let mut tell = telling(id, events);
        if focused && !std::mem::replace(&mut place.connection.focused, true) {
            tell(moment, What::Focused);
        }
        if from != beyond.to {
            tell(moment, What::Translated(Box::new(Translated { side: receiver, from, to: beyond.to })));
        } else if beyond.forwarded {
            tell(moment, What::Forwarded { to: receiver });
        }
    }
}
