//! What is open: connections, each with the exchanges on it that have not settled.

use smallvec::SmallVec;

use crate::correlate::Party;
use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey};
use crate::correlate::numbering::ByNumber;
use crate::event::ConnectionId;

/// The books. A connection stays until it is gone and its last exchange has settled.
#[derive(Debug, Default)]
pub(super) struct Books {
    pages: ByNumber<ConnectionId, Box<Page>>,
    exchanges: usize,
}

/// A connection, and what is open on it in the order of its numbers.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) conversation: Conversation,
    pub(super) open: SmallVec<[Box<Exchange>; 2]>,
}

impl Page {
    pub(super) fn exchange(&self, number: u32) -> Option<&Exchange> {
        // Nearly always the latest one.
        self.open.iter().rev().map(Box::as_ref).find(|exchange| exchange.key.number == number)
    }

    pub(super) fn exchange_mut(&mut self, number: u32) -> Option<&mut Exchange> {
        self.open.iter_mut().rev().map(Box::as_mut).find(|exchange| exchange.key.number == number)
    }
}

impl Books {
    /// How many exchanges are open.
    pub(super) fn len(&self) -> usize {
        self.exchanges
    }

    /// All that are.
    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.pages.values().flat_map(|page| page.open.iter().map(Box::as_ref))
    }

    /// Opens the page of a connection.
    pub(super) fn begin(&mut self, conversation: Conversation) {
        self.pages.insert(conversation.id, Box::new(Page { conversation, open: SmallVec::new() }));
    }

    pub(super) fn page(&self, connection: ConnectionId) -> Option<&Page> {
        self.pages.get(&connection).map(Box::as_ref)
    }

    pub(super) fn page_mut(&mut self, connection: ConnectionId) -> Option<&mut Page> {
        self.pages.get_mut(&connection).map(Box::as_mut)
    }

    pub(super) fn conversation(&self, connection: ConnectionId) -> Option<&Conversation> {
        self.page(connection).map(|page| &page.conversation)
    }

    pub(super) fn exchange(&self, key: ExchangeKey) -> Option<&Exchange> {
        self.page(key.connection)?.exchange(key.number)
    }

    pub(super) fn exchange_mut(&mut self, key: ExchangeKey) -> Option<&mut Exchange> {
        self.page_mut(key.connection)?.exchange_mut(key.number)
    }

    pub(super) fn party(&self, key: ExchangeKey) -> Option<Party<'_>> {
        let page = self.page(key.connection)?;
        Some(Party { exchange: page.exchange(key.number)?, conversation: &page.conversation })
    }

    /// Notes that an exchange began; its connection's page is open.
    pub(super) fn note(&mut self, exchange: Exchange) -> Option<&mut Exchange> {
        let page = self.pages.get_mut(&exchange.key.connection)?;
        self.exchanges += 1;
        page.open.push(Box::new(exchange));
        page.open.last_mut().map(Box::as_mut)
    }

    /// Strikes an exchange out.
    pub(super) fn strike(&mut self, key: ExchangeKey) -> Option<Box<Exchange>> {
        let page = self.pages.get_mut(&key.connection)?;
        let at = page.open.iter().position(|exchange| exchange.key.number == key.number)?;
        self.exchanges -= 1;
        Some(page.open.remove(at))
    }

    /// Closes the page of a connection that is gone, once nothing is open on it.
    pub(super) fn close(&mut self, connection: ConnectionId) -> Option<Conversation> {
        let page = self.page(connection)?;
        let done = page.conversation.gone.is_some() && page.open.is_empty();
        done.then(|| self.pages.remove(&connection).map(|page| page.conversation))?
    }

    /// Closes them all; the connections in the order of their numbers.
    pub(super) fn close_all(&mut self) -> Vec<Conversation> {
        self.exchanges = 0;
        let mut left: Vec<_> = self.pages.drain().map(|(_, page)| page.conversation).collect();
        left.sort_unstable_by_key(|conversation| conversation.id);
        left
    }
}
