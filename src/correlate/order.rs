//! Which attempt served an exchange, where nothing on both legs tells: gateways pass answers on as they come, so that the
//! answer that came right before, is alike, and was asked for right after, is the one. Told at the moment the client's answer
//! begins, so that what is left are failures.
//!
//! ```text
//!   front     request |--------------------------| response
//!   attempt            | request ------ response |
//!                      ^ start slack             ^ end slack
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::surprise;
use crate::correlate::pair::{CERTAIN, CLOCK_SLACK};
use crate::correlate::{Correlator, Pairing};
use crate::event::Endpoint;
use crate::time::Timestamp;

/// Attempts that were answered and that nobody has claimed, by the address that made them, in the order of their answers.
/// 96 octets each.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_client: HashMap<IpAddr, VecDeque<Answer>>,
}

/// An attempt that was answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    key: ExchangeKey,
    server: Endpoint,
    began: Timestamp,
    answered: Timestamp,
    status: u16,
    content_length: Option<u64>,
}

/// How well an answer fits.
struct Found {
    /// What differs.
    unlike: u32,
    start: Duration,
    end: Duration,
    key: ExchangeKey,
}

impl Answers {
    fn push(&mut self, client: IpAddr, answer: Answer) {
        if self.by_client.len() >= MOST_CLIENTS && !self.by_client.contains_key(&client) {
            return;
        }
        let answers = self.by_client.entry(client).or_default();
        while answers.front().is_some_and(|oldest| answer.answered.since(oldest.answered) > LONGEST_WAIT)
            || answers.len() >= MOST_ANSWERS
        {
            answers.pop_front();
        }
        answers.push_back(answer);
    }

    fn remove(&mut self, client: IpAddr, key: ExchangeKey) {
        if let Some(answers) = self.by_client.get_mut(&client)
            && let Some(at) = answers.iter().rposition(|answer| answer.key == key)
        {
            answers.remove(at);
            if answers.is_empty() {
                self.by_client.remove(&client);
            }
        }
    }

    /// Those since an instant, the latest first.
    fn since(&self, client: IpAddr, from: Timestamp) -> impl Iterator<Item = &Answer> {
        let answers = self.by_client.get(&client).into_iter().flatten();
        answers.rev().take_while(move |answer| answer.answered >= from)
    }
}

impl Correlator {
    /// An exchange was answered, and no identifier tells whether it was made for another one, or another one for it.
    pub(super) fn take_answer(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.books.exchange(key) else { return };
        let Some(status) = exchange.status().filter(|status| (200..500).contains(status)) else { return };
        if exchange.attempts.is_empty()
            && let Some((attempt, pairing)) = self.server_of(exchange, status)
        {
            let ends = self.books.exchange(attempt).map(|attempt| (exchange.server.ip(), attempt.client.ip()));
            if let Some((front, back)) = ends {
                self.answers.remove(back, attempt);
                if pairing >= Pairing::Likely {
                    self.gateways.join(front, back);
                }
            }
            let window = self.whole(exchange);
            self.note_guess(key, window);
            self.adopt_orphan(key, attempt, pairing);
        }
        let Some(exchange) = self.books.exchange(key) else { return };
        if exchange.parent.is_none() && exchange.request.is_some() && self.may_be_attempt(key) {
            let answer = Answer {
                key,
                server: exchange.server,
                began: self.began(exchange),
                answered: exchange.response_start.as_ref().map_or(exchange.started, |start| start.moment).at,
                status,
                content_length: exchange.response.as_ref().and_then(|response| response.content_length),
            };
            self.answers.push(exchange.client.ip(), answer);
        }
    }

    /// The attempt whose answer was passed on: of those whose answers came last, and are most alike, the one that began next
    /// after the request. So each exchange leaves to the others what only they can have.
    fn server_of(&self, front: &Exchange, status: u16) -> Option<(ExchangeKey, Pairing)> {
        let wanted = front.request.as_deref()?;
        let answered = front.response_start.as_ref()?.moment.at;
        let content_length = front.response.as_ref().and_then(|response| response.content_length);
        let server = front.server.ip();
        let mut found: SmallVec<[Found; 8]> = SmallVec::new();
        for back in self.gateways.akin(server).into_iter().filter(|back| self.gateways.same(server, *back)) {
            for answer in self.answers.since(back, front.started.at) {
                let differs = answer.status != status
                    || answer.content_length.zip(content_length).is_some_and(|(one, other)| one != other)
                    || answer.began + CLOCK_SLACK < front.started.at
                    || answer.answered > answered
                    || answer.key.connection == front.key.connection
                    || !self.may_stand_behind(answer.server, front.server);
                if differs {
                    continue;
                }
                let Some(candidate) = self.books.exchange(answer.key).filter(|candidate| candidate.parent.is_none())
                else {
                    continue;
                };
                let Some(sent) = candidate.request.as_deref().filter(|sent| sent.method() == wanted.method()) else {
                    continue;
                };
                let recoded = answer.content_length.is_some() != content_length.is_some();
                let elsewhere = sent.target() != wanted.target();
                found.push(Found {
                    unlike: u32::from(recoded) + u32::from(elsewhere),
                    start: answer.began.since(front.ready().at),
                    end: answered.since(answer.answered),
                    key: answer.key,
                });
            }
        }
        let unlike = found.iter().map(|found| found.unlike).min()?;
        found.retain(|found| found.unlike == unlike);
        let least = found.iter().map(|found| found.end).min()?;
        found.retain(|found| found.end <= (least * 8).max(AT_ONE_TURN));
        let best = found.iter().min_by_key(|found| found.start)?;
        if surprise(best.start) + surprise(best.end) + unlike * UNLIKE > CERTAIN {
            return None;
        }
        let pairing = match found.len() {
            1 if self.is_alone(front, best.key) && !self.is_unlike(front, best.key) => Pairing::Certain,
            1 => Pairing::Likely,
            _ => Pairing::Possible,
        };
        Some((best.key, pairing))
    }

    /// Whether an attempt at `inner` may have been made for an exchange at `outer`, by what is known of the endpoints.
    pub(super) fn may_stand_behind(&self, inner: Endpoint, outer: Endpoint) -> bool {
        inner != outer && !self.is_front_only(inner) && self.nesting.may_stand_behind(inner, outer)
    }
}

/// Addresses whose attempts are remembered, and answers of each.
const MOST_CLIENTS: usize = 1024;
const MOST_ANSWERS: usize = 4096;
/// A gateway that passes an answer on begins within this span.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Answers that come within this span may be read at one turn of a gateway's loop, and are passed on in any order.
const AT_ONE_TURN: Duration = Duration::from_millis(1);
/// What speaks against an answer of unknown length where the other's is known, and against another target.
const UNLIKE: u32 = 1000;
