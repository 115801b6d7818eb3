//! A lookup: what one program wanted to know, how it asked, and what came of it.

use std::time::Duration;

use smallvec::SmallVec;

use crate::event::lookup::{Code, Message, RecordKind, Rejected, Told};
use crate::event::{Endpoint, Moment};

/// What a program wanted to know.
#[derive(Debug)]
pub struct Lookup {
    /// The name that was asked for first.
    pub name: Box<str>,
    /// Who asked.
    pub client: Endpoint,
    /// Whether that is the capturing host, where the link layer says so.
    pub local: Option<bool>,
    /// The first message.
    pub began: Moment,
    /// The latest message.
    pub last: Moment,
    /// Its queries, in the order in which they were first put.
    pub queries: SmallVec<[Query; 2]>,
}

/// A query and what came back.
#[derive(Debug)]
pub struct Query {
    /// Who asked.
    pub client: Endpoint,
    /// Who was asked.
    pub server: Endpoint,
    /// Whether over TCP.
    pub tcp: bool,
    /// The name.
    pub name: Box<str>,
    /// What was asked of it.
    pub kind: RecordKind,
    /// When it was put, again and again; of very many the first ones and the last. None where only the answer was seen.
    pub puts: SmallVec<[Moment; 2]>,
    /// The answer.
    pub answer: Option<(Moment, Message)>,
    /// The ICMP error about it.
    pub rejected: Option<(Moment, Rejected)>,
    /// Whether who was asked put it in turn.
    pub forwarded: bool,
    pub(super) id: u16,
}

/// What came of a lookup up to some moment.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// An address.
    Found,
    /// There is no such name.
    NoName(&'a Query),
    /// The name has no address.
    NoAddress(&'a Query),
    /// The server answered with an error.
    Failed(&'a Query),
    /// An address of one family, and an error for the other: whether that is enough is the asker's to decide.
    Split(&'a Query),
    /// An ICMP error came.
    Rejected(&'a Query),
    /// Nothing came; this is the latest query.
    Silent(&'a Query),
}

impl<'a> Outcome<'a> {
    /// The query that decides it.
    #[must_use]
    pub const fn query(self) -> Option<&'a Query> {
        match self {
            Self::Found => None,
            Self::NoName(query)
            | Self::NoAddress(query)
            | Self::Failed(query)
            | Self::Split(query)
            | Self::Rejected(query)
            | Self::Silent(query) => Some(query),
        }
    }

    /// When it was final; `None` for silence.
    #[must_use]
    pub fn at(self) -> Option<Moment> {
        match self {
            Self::NoName(query) | Self::NoAddress(query) | Self::Failed(query) | Self::Split(query) => {
                query.answer.as_ref().map(|(moment, _)| *moment)
            }
            Self::Rejected(query) => query.rejected.map(|(moment, _)| moment),
            Self::Found | Self::Silent(_) => None,
        }
    }
}

impl Query {
    /// When it was first put.
    #[must_use]
    pub fn first(&self) -> Option<Moment> {
        self.puts.first().copied()
    }

    /// How often it had been put by `until`, and when last.
    #[must_use]
    pub fn put_by(&self, until: Moment) -> Option<(u32, Moment)> {
        let put = self.puts.iter().filter(|put| **put <= until);
        let last = put.clone().next_back()?;
        Some((u32::try_from(put.count()).unwrap_or(u32::MAX), *last))
    }

    /// When it was last put, or answered.
    #[must_use]
    pub fn last(&self) -> Option<Moment> {
        let answered = self.answer.as_ref().map(|(moment, _)| *moment);
        self.puts.last().copied().into_iter().chain(answered).max()
    }

    /// It was put once more.
    pub(super) fn put(&mut self, moment: Moment) {
        if self.puts.len() >= MOST_PUTS {
            self.puts.pop();
        }
        self.puts.push(moment);
    }

    /// The answer that came by `until`, if it was whole: one that was cut short for want of room is put again over TCP.
    #[must_use]
    pub fn answered(&self, until: Moment) -> Option<&Message> {
        let (moment, message) = self.answer.as_ref()?;
        (*moment <= until && !message.truncated).then_some(message)
    }

    /// Whether the answer was cut short for want of room.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.answer.as_ref().is_some_and(|(_, message)| message.truncated)
    }

    pub(super) fn is_open(&self) -> bool {
        self.answer.is_none() && self.rejected.is_none()
    }

    /// Whether a message is about it.
    pub(super) fn is(&self, told: &Told) -> bool {
        let Told { client, server, message, .. } = told;
        (self.client, self.server, self.id) == (*client, *server, message.id)
            && self.kind == message.kind
            && self.name == message.name
    }
}

impl Lookup {
    /// What had come of it by `until`.
    #[must_use]
    pub fn outcome(&self, until: Moment) -> Outcome<'_> {
        let own = || self.queries.iter().filter(|query| !query.forwarded && query.kind.is_address());
        let put = || own().filter(|query| query.first().is_none_or(|first| first <= until));
        let found = |query: &Query| query.answered(until).is_some_and(has_address);
        if own().any(found) || self.queries.iter().any(|query| query.kind.is_address() && found(query)) {
            let error = |query: &&Query| {
                let code = query.answered(until).map(|message| message.code);
                code.is_some_and(|code| !matches!(code, Code::NOERROR | Code::NXDOMAIN))
            };
            let other = |query: &Query| !own().any(|other| other.kind == query.kind && found(other));
            return own().rfind(|query| error(query) && other(query)).map_or(Outcome::Found, Outcome::Split);
        }
        // Of queries for the same, put to several servers, one definite answer is enough.
        let definite = |query: &Query| {
            query.answered(until).filter(|message| matches!(message.code, Code::NOERROR | Code::NXDOMAIN)).is_some()
        };
        let settled = |query: &Query| {
            put().any(|other| (&other.name, other.kind) == (&query.name, query.kind) && definite(other))
        };
        let rejected = |query: &Query| query.rejected.is_some_and(|(moment, _)| moment <= until);
        let later = |query: &Query, than: &Query| {
            query.answered(until).is_some() && query.name == than.name && query.kind == than.kind
        };
        let silent = put().rfind(|query| {
            let after = put().skip_while(|other| !std::ptr::eq(*other, *query)).skip(1);
            query.answered(until).is_none() && !rejected(query) && !settled(query) && {
                // Another server was asked, and did answer.
                !after.into_iter().any(|other| later(other, query))
            }
        });
        let answered = || put().filter(|query| query.answered(until).is_some());
        let latest = answered().filter_map(|query| query.answer.as_ref()).map(|(moment, _)| moment.at).max();
        // Who goes on as soon as it has an answer does not wait for the others.
        let waits = latest.is_none_or(|latest| until.at.since(latest) > AT_ONCE);
        if let Some(query) = silent.filter(|_| waits) {
            return Outcome::Silent(query);
        }
        let failed = answered().rfind(|query| !definite(query) && !settled(query));
        let refused = put().rfind(|query| rejected(query) && query.answered(until).is_none() && !settled(query));
        match (failed, refused) {
            (Some(query), _) => return Outcome::Failed(query),
            (None, Some(query)) => return Outcome::Rejected(query),
            (None, None) => {}
        }
        // Of the names that were tried the last one counts.
        let last = answered().next_back();
        let name = last.map(|query| &query.name);
        let of_last = || answered().filter(|query| Some(&query.name) == name);
        let code = |query: &Query| query.answered(until).map(|message| message.code);
        if let Some(query) = of_last().rfind(|query| code(query) == Some(Code::NXDOMAIN)) {
            return Outcome::NoName(query);
        }
        match (last, silent) {
            (Some(query), _) => Outcome::NoAddress(query),
            (None, Some(query)) => Outcome::Silent(query),
            (None, None) => Outcome::Found,
        }
    }

    /// Whether something that was asked had neither answer nor error by `until`.
    #[must_use]
    pub fn is_incomplete(&self, until: Moment) -> bool {
        self.queries.iter().any(|query| {
            let asked = query.put_by(until).is_some();
            let rejected = query.rejected.is_some_and(|(moment, _)| moment <= until);
            asked && query.kind.is_address() && query.answered(until).is_none() && !rejected
        })
    }

    /// How often one and the same had been asked by `until`, at most, by who began it.
    #[must_use]
    pub fn times(&self, until: Moment) -> u32 {
        let own = || self.queries.iter().filter(|query| !query.forwarded);
        let times = |of: &Query| {
            let alike = own().filter(|query| (&query.name, query.kind) == (&of.name, of.kind));
            alike.filter_map(|query| query.put_by(until)).map(|(times, _)| times).sum()
        };
        own().map(times).max().unwrap_or_default()
    }

    /// When a query of it was last put, by `until`.
    #[must_use]
    pub fn last_put(&self, until: Moment) -> Moment {
        let put = self.queries.iter().filter_map(|query| query.put_by(until));
        put.map(|(_, moment)| moment).max().unwrap_or(self.began)
    }
}

pub(super) fn has_address(message: &Message) -> bool {
    message.code == Code::NOERROR
        // Of a service the hosts may not come along, and of an answer that the snaplen cut, no address may be left.
        && (!message.addresses.is_empty() || ((message.kind == RecordKind::SRV || message.cut) && message.answers > 0))
}

impl Lookup {
    /// Whether a query for one of its names goes on with it: for another kind of address, of another server, over TCP, or
    /// by who was asked.
    pub(super) fn is_continued_by(&self, query: &Query, moment: Moment) -> bool {
        let alike = || self.queries.iter().filter(|other| other.name == query.name);
        let forwarded = alike().any(|other| is_forwarded(other, query) && other.is_open());
        // A stub asks on from one address.
        let mut before = self.queries.iter().filter(|other| other.forwarded);
        if forwarded && before.all(|other| other.client.ip() == query.client.ip()) {
            return true;
        }
        let (waited, paused) = (moment.at.since(self.began.at), moment.at.since(self.last.at));
        if self.client.ip() != query.client.ip() || paused > LONGEST_PAUSE || waited > LONGEST_WAIT {
            return false;
        }
        // Who keeps its port repeats a query with its number: another number there is another lookup.
        let anew = |other: &Query| {
            (other.client, other.server, other.kind) == (query.client, query.server, query.kind)
                && other.id != query.id
                && other.is_open()
        };
        if waited > AT_ONCE && alike().any(anew) {
            return false;
        }
        let mut same = alike().filter(|other| other.kind == query.kind).peekable();
        match same.peek() {
            None => {
                let done = self.queries.iter().all(|other| !other.is_open());
                !done || moment.at.since(self.last.at) <= AT_ONCE
            }
            Some(_) => same.all(|other| match &other.answer {
                None => true,
                Some((answered, message)) => {
                    let at_once = moment.at.since(answered.at) <= AT_ONCE;
                    let elsewhere = (other.server, other.tcp) != (query.server, query.tcp)
                        || (other.client, other.id) == (query.client, query.id);
                    at_once
                        && elsewhere
                        && (message.truncated || !matches!(message.code, Code::NOERROR | Code::NXDOMAIN))
                }
            }),
        }
    }

    /// Whether a query tries the same host in another search domain: the one before led nowhere, and this follows at once.
    pub(super) fn tries_another_name(&self, query: &Query, moment: Moment) -> bool {
        let Some(last) = self.queries.last() else { return false };
        let negative = |query: &Query| {
            let answer = query.answer.as_ref().filter(|(answered, _)| moment.at.since(answered.at) <= SEARCH_PAUSE);
            answer.is_some_and(|(_, message)| !message.truncated && !has_address(message))
        };
        let led_nowhere = self.queries.iter().filter(|query| query.name == last.name).all(negative);
        led_nowhere && is_variant(&last.name, &query.name, last.client != query.client)
    }
}

/// Whether who was asked `outer` asks the same in turn.
pub(super) fn is_forwarded(outer: &Query, inner: &Query) -> bool {
    let stub = outer.server.ip();
    outer.name == inner.name
        && outer.client != inner.client
        && (stub == inner.client.ip() || (stub.is_loopback() && !inner.server.ip().is_loopback()))
}

/// Whether two names are one host in several search domains: one has the other as its beginning, or they begin alike and one's
/// domain ends in the other's. Resolvers of the C library take another port for each; then the first label is enough.
fn is_variant(one: &str, other: &str, another_port: bool) -> bool {
    let extends = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
    if extends(one, other) || extends(other, one) {
        return true;
    }
    let split = |name: &str| name.split_once('.').map(|(host, domain)| (host.to_owned(), domain.to_owned()));
    let (Some((host, domain)), Some((other_host, other_domain))) = (split(one), split(other)) else { return false };
    let within = |inner: &str, outer: &str| inner.strip_suffix(outer).is_some_and(|rest| rest.ends_with('.'));
    host == other_host && (another_port || within(&domain, &other_domain) || within(&other_domain, &domain))
}

/// Times that a query was put, of which the instants are remembered.
const MOST_PUTS: usize = 16;
/// Who goes on within this span goes on at once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The next search domain is tried within this span.
const SEARCH_PAUSE: Duration = Duration::from_millis(100);
/// Nobody asks for longer than this.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The longest pause before a query is put again: twice the 5 s of most resolvers.
const LONGEST_PAUSE: Duration = Duration::from_secs(11);
