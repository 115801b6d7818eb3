//! Connections that open, and what is learned then of the names of their ends.

use crate::correlate::Correlator;
use crate::correlate::conversation::{Conversation, ExchangeKey};
use crate::correlate::traits::Traits;
use crate::event::lookup::NAME_SERVER;
use crate::event::{ConnectionId, FirstSeen, Moment, Opened, Side, Translated};

impl Correlator {
    pub(super) fn open_page(&mut self, connection: ConnectionId, moment: Moment, opened: &Opened) {
        let place = self.places.number(opened.server);
        let mut conversation = Conversation::new(connection, moment, opened, place);
        let [client, server] = [opened.client, opened.server].map(|end| end.ip());
        let [client_is_local, server_is_local] = opened.local;
        if client_is_local == Some(true) && self.gateways.disguised(client).is_some() {
            conversation.traits.add(Traits::DISGUISED);
        } else if let Some(local) = client_is_local {
            self.gateways.note_local(client, local);
        }
        if let Some(local) = server_is_local {
            self.gateways.note_local(server, local);
        }
        if opened.local == [None, Some(true)] && client != server {
            self.gateways.note_asker(client, server);
        }
        self.books.begin(conversation);
        if matches!(opened.first, FirstSeen::Syn | FirstSeen::Quoted) && opened.server.port() != NAME_SERVER {
            self.begin_attempt(connection, moment);
        }
    }

    /// Somebody tries to connect.
    fn begin_attempt(&mut self, connection: ConnectionId, moment: Moment) {
        let key = ExchangeKey { connection, number: 0 };
        if let Some(client) = self.begin(key, moment).map(|begun| begun.hosts.client)
            && self.has_one_open_front(client)
            && let Some(begun) = self.books.exchange_mut(key)
        {
            begun.for_one = true;
        }
    }

    /// A router on the way translates addresses: the end that is behind it goes by its own name from now on, as those do who are asked
    /// there, or ask from there. The books are opened anew for an attempt that has come no further.
    #[cold]
    pub(super) fn translate(&mut self, connection: ConnectionId, translated: &Translated) {
        let place = self.places.number(translated.to);
        let Some(page) = self.books.page_mut(connection) else { return };
        let conversation = &mut page.conversation;
        match translated.side {
            Side::Client => conversation.client = translated.to,
            Side::Server => (conversation.server, conversation.place) = (translated.to, place),
        }
        let opened = conversation.opened;
        if page.exchange(0).is_some() {
            self.drop_connect_attempt(connection);
            self.begin_attempt(connection, opened);
        }
    }

    /// The capturing host passes packets on to an end, which is not itself then.
    #[cold]
    pub(super) fn forward(&mut self, connection: ConnectionId, to: Side) {
        let Some(conversation) = self.books.conversation(connection) else { return };
        let end = if to == Side::Client { conversation.client } else { conversation.server };
        self.gateways.note_remote(end.ip());
    }
}
