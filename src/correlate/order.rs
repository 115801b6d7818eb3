//! Which attempt served an exchange, where nothing on both legs tells: gateways pass answers on as they come, so that the
//! answer that came right before, is alike, and was asked for right after, is the one. Told at the moment the client's answer
//! begins, so that what is left are failures.
//!
//! ```text
//!   front     request |--------------------------| response
//!   attempt            | request ------ response |
//!                      ^ start slack             ^ end slack
//! ```

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::surprise;
use crate::correlate::numbering::{ByAddress, number};
use crate::correlate::pair::{CERTAIN, CLOCK_SLACK};
use crate::correlate::places::Place;
use crate::correlate::{Correlator, Pairing};
use crate::event::Request;
use crate::mark::mark;
use crate::time::Timestamp;

/// Attempts that were answered and that nobody has claimed, by the address that made them, in the order of their answers.
/// 96 octets each.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_client: ByAddress<Unclaimed>,
}

/// The answers that an address got.
#[derive(Debug, Default)]
struct Unclaimed {
    answers: VecDeque<Answer>,
    /// The endpoints that gave them, and how many each.
    places: SmallVec<[(Place, u32); 4]>,
}

impl Unclaimed {
    fn count(&mut self, place: Place) {
        match self.places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, count)) => *count += 1,
            None => self.places.push((place, 1)),
        }
    }

    fn discount(&mut self, place: Place) {
        if let Some(at) = self.places.iter().position(|(known, _)| *known == place)
            && let Some((_, count)) = self.places.get_mut(at)
        {
            *count -= 1;
            if *count == 0 {
                self.places.swap_remove(at);
            }
        }
    }
}

/// An attempt that was answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    key: ExchangeKey,
    place: Place,
    began: Timestamp,
    answered: Timestamp,
    status: u16,
    content_length: Option<u64>,
    /// Marks of the request's method and target.
    asked: [u64; 2],
}

/// How well an answer fits: what differs, and how long after the request it was asked for and before the response it came, in
/// nanoseconds.
#[derive(Clone, Copy)]
struct Fit {
    unlike: u32,
    start: u64,
    end: u64,
}

impl Fit {
    /// How long before the response an answer may have come that was read at the same turn.
    fn turn(self) -> u64 {
        (self.end * 8).max(AT_ONE_TURN.as_nanos() as u64)
    }
}

impl Answers {
    fn insert(&mut self, client: IpAddr, answer: Answer) {
        if self.by_client.len() >= MOST_CLIENTS && !self.by_client.contains_key(&number(client)) {
            return;
        }
        let unclaimed = self.by_client.entry(number(client)).or_default();
        let is_old = |oldest: &Answer| answer.answered.since(oldest.answered) > LONGEST_WAIT;
        while unclaimed.answers.front().is_some_and(is_old) || unclaimed.answers.len() >= MOST_ANSWERS {
            if let Some(oldest) = unclaimed.answers.pop_front() {
                unclaimed.discount(oldest.place);
            }
        }
        unclaimed.count(answer.place);
        let answers = &mut unclaimed.answers;
        // Nearly always the latest one.
        let later = answers.iter().rev().take_while(|other| other.answered > answer.answered).count();
        answers.insert(answers.len() - later, answer);
    }

    /// An attempt was claimed, or nobody will.
    pub(super) fn remove(&mut self, client: IpAddr, key: ExchangeKey) {
        if let Some(unclaimed) = self.by_client.get_mut(&number(client))
            && let Some(at) = unclaimed.answers.iter().rposition(|answer| answer.key == key)
        {
            if let Some(answer) = unclaimed.answers.remove(at) {
                unclaimed.discount(answer.place);
            }
            if unclaimed.answers.is_empty() && self.by_client.len() > MOST_EMPTY {
                self.by_client.remove(&number(client));
            }
        }
    }

    /// Whether one of an address's endpoints fits.
    fn has_place(&self, client: IpAddr, fits: impl Fn(Place) -> bool) -> bool {
        self.by_client
            .get(&number(client))
            .is_some_and(|unclaimed| unclaimed.places.iter().any(|(place, _)| fits(*place)))
    }

    /// Those since an instant, the latest first.
    fn since(&self, client: IpAddr, from: Timestamp) -> impl Iterator<Item = &Answer> {
        let answers = self.by_client.get(&number(client)).into_iter().flat_map(|unclaimed| &unclaimed.answers);
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
            if let Some(inner) = self.books.exchange(attempt) {
                // Of whichever request the answer is, it went from the one place to the other.
                self.places.note_likely_attempt(exchange.place, inner.place);
                if pairing >= Pairing::Likely {
                    self.gateways.join(exchange.server.ip(), inner.client.ip());
                }
            }
            let window = self.whole(exchange);
            self.note_guess(key, window);
            self.adopt_orphan(key, attempt, pairing);
        }
        let unclaimed = self.books.exchange(key).is_some_and(|exchange| exchange.parent.is_none());
        if unclaimed && self.may_be_attempt(key) {
            self.offer(key);
        }
    }

    /// An answer waits to be claimed by the exchange that it is passed on to.
    pub(super) fn offer(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.books.exchange(key) else { return };
        let (Some(request), Some(status)) = (exchange.request.as_deref(), exchange.status()) else { return };
        let answer = Answer {
            key,
            place: exchange.place,
            began: self.began(exchange),
            answered: exchange.response_start.as_ref().map_or(exchange.started, |start| start.moment).at,
            status,
            content_length: exchange.response.as_ref().and_then(|response| response.content_length),
            asked: asked(request),
        };
        self.answers.insert(exchange.client.ip(), answer);
        if let Some(exchange) = self.books.exchange_mut(key) {
            exchange.offered = true;
        }
    }

    /// The attempt whose answer was passed on: of those whose answers came last, and are most alike, the one that began next
    /// after the request. So each exchange leaves to the others what only they can have.
    fn server_of(&self, front: &Exchange, status: u16) -> Option<(ExchangeKey, Pairing)> {
        let backs = self.gateways.akin(front.server.ip());
        let may_serve = |place: Place| self.places.may_stand_behind(place, front.place);
        if !backs.iter().any(|back| self.answers.has_place(*back, may_serve)) {
            return None;
        }
        let wanted = asked(front.request.as_deref()?);
        let answered = front.response_start.as_ref()?.moment.at;
        let content_length = front.response.as_ref().and_then(|response| response.content_length);
        let (server, ready) = (front.server.ip(), front.ready().at);
        let earliest = front.started.at - CLOCK_SLACK;
        let nanos =
            |from: Timestamp, until: Timestamp| until.as_nanos().saturating_sub(from.as_nanos()).max(0).unsigned_abs();
        // Nearly always all are of one endpoint.
        let place = Cell::new((front.place, false));
        let may_stand_behind = |inner: Place| {
            if place.get().0 != inner {
                place.set((inner, self.places.may_stand_behind(inner, front.place)));
            }
            place.get().1
        };
        let fit = |answer: &Answer| {
            let [method, target] = answer.asked;
            let [wanted_method, wanted_target] = wanted;
            let differs = answer.began < earliest
                || answer.answered > answered
                || answer.status != status
                || method != wanted_method
                || answer.content_length.zip(content_length).is_some_and(|(one, other)| one != other)
                || answer.key.connection == front.key.connection
                || !may_stand_behind(answer.place);
            let recoded = answer.content_length.is_some() != content_length.is_some();
            (!differs).then(|| Fit {
                unlike: u32::from(recoded) + u32::from(target != wanted_target),
                start: nanos(ready, answer.began),
                end: nanos(answer.answered, answered),
            })
        };
        let mut best: Option<(ExchangeKey, Fit)> = None;
        let mut only = true;
        for back in backs.into_iter().filter(|back| self.gateways.same(server, *back)) {
            for answer in self.answers.since(back, front.started.at) {
                let Some(fit) = fit(answer) else { continue };
                match &best {
                    Some((_, found)) if found.unlike < fit.unlike => {}
                    // From here on they came before what may have been read at the same turn.
                    Some((_, found)) if found.unlike == 0 && fit.end > found.turn() => break,
                    Some((_, found)) if found.unlike == fit.unlike && fit.end > found.turn() => {}
                    Some((_, found)) if found.unlike == fit.unlike => {
                        only = false;
                        let end = found.end.min(fit.end);
                        if fit.start < found.start {
                            best = Some((answer.key, Fit { end, ..fit }));
                        }
                    }
                    _ => (best, only) = (Some((answer.key, fit)), true),
                }
            }
        }
        let (key, fit) = best?;
        let slack = [fit.start, fit.end].map(Duration::from_nanos).map(surprise);
        if slack.iter().sum::<u32>() + fit.unlike * UNLIKE > CERTAIN {
            return None;
        }
        let pairing = match only {
            true if self.is_alone(front, key) && !self.is_unlike(front, key) => Pairing::Certain,
            true => Pairing::Likely,
            false => Pairing::Possible,
        };
        Some((key, pairing))
    }
}

/// Marks of a request's method and target.
fn asked(request: &Request) -> [u64; 2] {
    [mark(request.method().as_bytes()), mark(request.target().as_bytes())]
}

/// Addresses whose attempts are remembered, and answers of each.
const MOST_CLIENTS: usize = 1024;
const MOST_ANSWERS: usize = 4096;
/// Addresses whose empty lists are kept, since the next answer is likely to come soon.
const MOST_EMPTY: usize = 64;
/// A gateway that passes an answer on begins within this span.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Answers that come within this span may be read at one turn of a gateway's loop, and are passed on in any order.
const AT_ONE_TURN: Duration = Duration::from_millis(1);
/// What speaks against an answer of unknown length where the other's is known, and against another target.
const UNLIKE: u32 = 1000;
