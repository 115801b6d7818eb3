//! Exchanges that are over: what ends them, and when they are to be settled.

use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::books::Page;
use crate::correlate::conversation::{ExchangeKey, ResponseEnd};
use crate::correlate::due::Wait;
use crate::correlate::{ClosedIdle, Correlator, Finding, Note};
use crate::event::{ConnectionId, Ending, Moment, Side};

impl Correlator {
    /// A response is over.
    pub(super) fn end_response(&mut self, key: ExchangeKey, end: ResponseEnd, sink: &mut dyn FnMut(Finding<'_>)) {
        let Some(page) = self.books.page_mut(key.connection) else { return };
        let ResponseEnd { moment, how, .. } = end;
        let mut again = how == Ending::Unmeasured;
        if let Some(exchange) = page.exchange_mut(key.number) {
            again = exchange.response_end.is_some();
            exchange.response_end = Some(end);
            exchange.last_response = Some(moment);
        }
        page.conversation.completed += u32::from(!again);
        page.conversation.idle_since = Some(moment);
        if self.close(key, moment) {
            match self.served(key) {
                Some(tries) => self.tell_whole(key, &tries, sink),
                None => self.schedule(key, moment),
            }
        }
    }

    /// The server sends nothing more: what it has not answered is over.
    pub(super) fn server_closed(
        &mut self,
        connection: ConnectionId,
        moment: Moment,
        sink: &mut dyn FnMut(Finding<'_>),
    ) {
        let Some(Page { conversation, open }) = self.books.page(connection) else { return };
        let idle = open.iter().all(|exchange| exchange.over.is_some());
        let is_first = conversation.first_close().is_some_and(|(first, ..)| first == moment);
        if let (true, true, Some(since)) = (idle && conversation.kept, is_first, conversation.idle_since) {
            sink(Finding::Note(Note::ClosedIdle(ClosedIdle {
                client: conversation.client.ip(),
                server: conversation.server,
                idle: moment.at.since(since.at),
                at: conversation.last,
                by_fin: conversation.fin(Side::Server).is_some(),
            })));
        }
        self.end_all(connection, moment);
    }

    /// The client sends nothing more.
    pub(super) fn client_left(&mut self, connection: ConnectionId) {
        let Some(page) = self.books.page(connection) else { return };
        let open = page.open.iter().filter(|exchange| exchange.over.is_none()).map(|exchange| exchange.key).collect();
        self.let_go(open);
    }

    /// Who asked does not wait any more, nor does anybody for what was asked for him: though it be not over, it does not count
    /// as open.
    fn let_go(&mut self, mut those: SmallVec<[ExchangeKey; 4]>) {
        while let Some(key) = those.pop() {
            let Some(exchange) = self.books.exchange_mut(key).filter(|exchange| exchange.over.is_none()) else {
                continue;
            };
            let trouble = exchange.trouble.get_or_insert_default();
            if key.number > 0 && !std::mem::replace(&mut trouble.let_go, true) {
                those.extend_from_slice(&exchange.attempts);
                self.places.end(exchange.place);
            }
        }
    }

    pub(super) fn end_all(&mut self, connection: ConnectionId, moment: Moment) {
        let Some(page) = self.books.page(connection) else { return };
        let open: SmallVec<[ExchangeKey; 4]> = page.open.iter().map(|exchange| exchange.key).collect();
        for key in open {
            self.end(key, moment);
        }
    }

    pub(super) fn end(&mut self, key: ExchangeKey, moment: Moment) {
        if self.close(key, moment) {
            if let Some(exchange) = self.books.exchange(key) {
                self.let_go(SmallVec::from_slice(&exchange.attempts));
            }
            self.schedule(key, moment);
        }
    }

    /// An exchange is over; whether it was not before.
    pub(super) fn close(&mut self, key: ExchangeKey, moment: Moment) -> bool {
        let Some(exchange) = self.books.exchange_mut(key).filter(|exchange| exchange.over.is_none()) else {
            return false;
        };
        exchange.over = Some(moment);
        if key.number > 0 && !exchange.was_let_go() {
            self.places.end(exchange.place);
        }
        self.marks.remove(exchange);
        true
    }

    /// An exchange that is over waits until it has settled. One that was made for another settles with that.
    pub(super) fn schedule(&mut self, key: ExchangeKey, moment: Moment) {
        let Some(exchange) = self.books.exchange(key) else { return };
        let [_, spot] = exchange.spots;
        self.unsettled.end(exchange.hosts.server, spot, (exchange.started.at, key), moment.at);
        if exchange.parent.is_some() {
            return;
        }
        let rtt = self.books.conversation(key.connection).and_then(|conversation| conversation.rtt());
        // Late answers come after errors: these are given more time. What was answered inside TLS is an error rarely.
        let hidden = exchange.veiled.is_some() && exchange.response_start.is_some();
        let slow = !hidden && exchange.status().is_none_or(|status| status >= 500);
        let settle = self.settle.max(rtt.unwrap_or_default() * 3);
        let (wait, after) = match self.may_attempt(exchange) {
            true => (Wait::Attempt { slow }, ATTEMPTS_LATER),
            false => (Wait::Client { slow }, Duration::ZERO),
        };
        if slow || hidden {
            self.provisional.schedule(moment.at + settle + after, key);
        }
        self.due.push(wait, moment.at + settle * if slow { 4 } else { 1 } + after, key);
    }

    /// A connection attempt succeeded: from now on its first exchange stands for it.
    pub(super) fn drop_connect_attempt(&mut self, connection: ConnectionId) {
        self.remove(ExchangeKey { connection, number: 0 });
    }

    pub(super) fn forget_if_done(&mut self, connection: ConnectionId, sink: &mut dyn FnMut(Finding<'_>)) {
        if let Some(conversation) = self.books.close(connection) {
            sink(Finding::Note(Note::Conversation(conversation)));
        }
    }
}

/// Attempts settle a little later than what they may have been made for.
const ATTEMPTS_LATER: Duration = Duration::from_millis(100);
