//! What is open: connections, each with the exchanges on it that have not settled.

use smallvec::SmallVec;

use crate::correlate::Party;
use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey, Hosts};
use crate::correlate::gateway::Gateways;
use crate::correlate::numbering::Numbered;
use crate::event::{ConnectionId, Moment, Side};

/// The books. A connection stays until it is gone and its last exchange has settled.
#[derive(Debug, Default)]
pub(super) struct Books {
    pages: Numbered<Box<Page>>,
    exchanges: usize,
    /// Memory for the next exchanges.
    #[expect(clippy::vec_box, reason = "it is the boxes that are used again")]
    spare: Vec<Box<Exchange>>,
}

/// A connection, and what is open on it in the order of its numbers.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) conversation: Conversation,
    pub(super) open: SmallVec<[Box<Exchange>; 2]>,
}

/// An exchange that began.
pub(super) struct Noted<'a> {
    pub(super) exchange: &'a mut Exchange,
    /// Whether it was not noted before.
    pub(super) is_new: bool,
    /// Another one of its connection that ends without an answer, since too many are open.
    pub(super) crowded_out: Option<ExchangeKey>,
}

impl Page {
    #[inline]
    pub(super) fn exchange(&self, number: u32) -> Option<&Exchange> {
        // Nearly always the latest one.
        let latest = self.open.last()?;
        if latest.key.number == number {
            return Some(latest);
        }
        self.open.get(self.position(number)?).map(Box::as_ref)
    }

    #[inline]
    pub(super) fn exchange_mut(&mut self, number: u32) -> Option<&mut Exchange> {
        let at = self.position(number)?;
        self.open.get_mut(at).map(Box::as_mut)
    }

    /// Where an exchange stands: as far before the latest one as its number is less, or, where some between have settled, behind
    /// that.
    fn position(&self, number: u32) -> Option<usize> {
        let last = self.open.len().checked_sub(1)?;
        let before = self.open.get(last)?.key.number.wrapping_sub(number);
        let (older, rest) = self.open.split_at_checked(last.saturating_sub(before as usize))?;
        let is_it = |exchange: &Exchange| exchange.key.number == number;
        let at = rest.iter().position(|exchange| is_it(exchange)).map(|at| older.len() + at);
        at.or_else(|| older.iter().rposition(|exchange| is_it(exchange)))
    }

    /// A request is complete.
    pub(super) fn end_request(&mut self, moment: Moment, number: u32, end: u64) {
        self.conversation.last = moment;
        if let Some(exchange) = self.exchange_mut(number) {
            exchange.end_request(moment, end);
        }
    }

    /// A side's octets were acknowledged up to `offset`: of the client's, a request or a ClientHello ends there.
    pub(super) fn acknowledge(&mut self, moment: Moment, sender: Side, offset: u64) {
        self.conversation.last = moment;
        if sender == Side::Server {
            return;
        }
        if let Some(handshake) = &mut self.conversation.handshake {
            handshake.acknowledge(moment, offset);
        }
        // The latest ones are asked first: on a busy connection many that are over have not settled.
        for exchange in self.open.iter_mut().rev() {
            match exchange.request_end_offset() {
                Some(end) if end == offset => exchange.acknowledged = Some(moment),
                // Requests of HTTP/2 end in any order.
                Some(end) if end < offset && self.conversation.multiplexed.is_none() => return,
                _ => {}
            }
        }
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
        self.pages.insert(conversation.id.0, Box::new(Page { conversation, open: SmallVec::new() }));
    }

    pub(super) fn page(&self, connection: ConnectionId) -> Option<&Page> {
        self.pages.get(connection.0).map(Box::as_ref)
    }

    pub(super) fn page_mut(&mut self, connection: ConnectionId) -> Option<&mut Page> {
        self.pages.get_mut(connection.0).map(Box::as_mut)
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

    /// Notes that an exchange began, if its connection's page is open.
    pub(super) fn note(&mut self, key: ExchangeKey, moment: Moment, gateways: &mut Gateways) -> Option<Noted<'_>> {
        let page = self.pages.get_mut(key.connection.0)?.as_mut();
        let known = if key.number > page.conversation.highest { None } else { page.position(key.number) };
        let Page { conversation, open } = page;
        let most = if conversation.multiplexed.is_some() { MOST_STREAMS } else { MOST_OPEN };
        let crowded_out = open.first().filter(|_| open.len() >= most).map(|exchange| exchange.key);
        let at = known.unwrap_or(open.len());
        if known.is_none() {
            conversation.highest = conversation.highest.max(key.number);
            self.exchanges += 1;
            let client = conversation.client.ip();
            let disguised = if conversation.is_disguised() { gateways.disguised(client) } else { None };
            conversation.hosts = Hosts {
                client: gateways.enter(disguised.unwrap_or(client), conversation.hosts.client),
                server: gateways.enter(conversation.server.ip(), conversation.hosts.server),
            };
            let mut exchange = Exchange::new(key, conversation, moment);
            if conversation.multiplexed.is_some() && open.iter().any(|other| other.over.is_none()) {
                exchange.idle = None;
            }
            open.push(match self.spare.pop() {
                Some(mut spare) => {
                    *spare = exchange;
                    spare
                }
                None => Box::new(exchange),
            });
        }
        Some(Noted { exchange: open.get_mut(at)?, is_new: known.is_none(), crowded_out })
    }

    /// Strikes an exchange out.
    pub(super) fn strike(&mut self, key: ExchangeKey) -> Option<Box<Exchange>> {
        let page = self.pages.get_mut(key.connection.0)?;
        let at = page.position(key.number)?;
        self.exchanges -= 1;
        Some(page.open.remove(at))
    }

    /// Takes the memory of an exchange that was struck out.
    pub(super) fn give_back(&mut self, exchange: Box<Exchange>) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(exchange);
        }
    }

    /// Closes the page of a connection that is gone, once nothing is open on it.
    pub(super) fn close(&mut self, connection: ConnectionId) -> Option<Conversation> {
        let page = self.page(connection)?;
        let done = page.open.is_empty() && page.conversation.gone.is_some();
        done.then(|| self.pages.remove(connection.0).map(|page| page.conversation))?
    }

    /// Closes them all; the connections in the order of their numbers.
    pub(super) fn close_all(&mut self) -> Vec<Conversation> {
        self.exchanges = 0;
        std::mem::take(&mut self.pages).into_values().map(|page| page.conversation).collect()
    }
}

/// Exchanges whose memory is kept for the next ones.
const MOST_SPARE: usize = 64;
/// Exchanges of one connection that may be open; beyond it the oldest one ends without an answer.
const MOST_OPEN: usize = 64;
/// The same where they are streams of HTTP/2, of which servers allow some hundred at once.
const MOST_STREAMS: usize = 1024;
