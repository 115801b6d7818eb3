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
use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::surprise;
use crate::correlate::gateway::Host;
use crate::correlate::pair::{CERTAIN, CLOCK_SLACK};
use crate::correlate::places::Place;
use crate::correlate::{Correlator, Pairing};
use crate::mark::mark;
use crate::time::Timestamp;

/// Attempts that were answered and that nobody has claimed, by the address that made them, in the order of their answers.
/// 88 octets each.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_client: Vec<Option<Box<Unclaimed>>>,
    /// Of how many addresses there are, or were lately.
    clients: usize,
}

/// The answers that an address got.
#[derive(Debug, Default)]
struct Unclaimed {
    answers: VecDeque<Answer>,
    /// The endpoints that gave them, and how many each.
    places: SmallVec<[(Place, u32); 4]>,
}

impl Unclaimed {
    fn position(&self, answered: Timestamp, key: ExchangeKey, hint: Option<usize>) -> Option<usize> {
        let is_there = |at: &usize| self.answers.get(*at).is_some_and(|answer| answer.key == key);
        if let Some(at) = hint.filter(is_there) {
            return Some(at);
        }
        let at = self.answers.partition_point(|answer| answer.answered < answered);
        if is_there(&at) {
            return Some(at);
        }
        self.answers.iter().rposition(|answer| answer.key == key)
    }

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
    /// The mark of all that is compared: equal ones are alike in everything.
    whole: u64,
    /// What is compared one by one, where none is alike in everything.
    content: Content,
}

/// What is compared of an exchange that was answered.
#[derive(Clone, Copy, Debug)]
struct Content {
    method: u64,
    target: u64,
    length: Option<u64>,
    status: u16,
}

impl Content {
    fn of(exchange: &Exchange) -> Option<Self> {
        let request = exchange.request.as_ref()?;
        Some(Self {
            method: request.method_mark,
            target: request.target_mark,
            length: exchange.response.as_ref().and_then(|response| response.content_length),
            status: exchange.status()?,
        })
    }

    fn mark(&self) -> u64 {
        let length = self.length.map_or(u64::MAX, |length| length);
        let words = [self.method, self.target, length, u64::from(self.status)].map(u64::to_le_bytes);
        mark(words.as_flattened())
    }

    /// How unlike an attempt's is; `None` where it cannot have been passed on as this one.
    fn unlike(&self, attempt: &Self) -> Option<u32> {
        let differs = attempt.status != self.status
            || attempt.method != self.method
            || attempt.length.zip(self.length).is_some_and(|(one, other)| one != other);
        let recoded = attempt.length.is_some() != self.length.is_some();
        (!differs).then(|| u32::from(recoded) + u32::from(attempt.target != self.target))
    }
}

/// The answer that fits best so far.
struct Found {
    key: ExchangeKey,
    /// Where it stands among those of its address.
    at: usize,
    unlike: u32,
    /// When it was asked for, or the request was ready if that was later.
    began: Timestamp,
    /// When the latest of those that fit as well came.
    answered: Timestamp,
    /// How many fit as well, itself included.
    fitting: u32,
}

/// Since when answers may have been read at the same turn of a gateway's loop as one that came at `answered`, where one of them was
/// passed on at `passed_on`.
#[inline(never)]
fn turn(answered: Timestamp, passed_on: Timestamp) -> Timestamp {
    passed_on - (passed_on.since(answered) * 8).max(AT_ONE_TURN)
}

impl Answers {
    fn insert(&mut self, client: Host, answer: Answer) {
        if self.by_client.len() <= client.index() {
            self.by_client.resize_with(client.index() + 1, || None);
        }
        let Some(place) = self.by_client.get_mut(client.index()) else { return };
        if place.is_none() {
            if self.clients >= MOST_CLIENTS {
                return;
            }
            self.clients += 1;
        }
        let unclaimed = place.get_or_insert_default();
        let is_old = |oldest: &Answer| answer.answered.since(oldest.answered) > LONGEST_WAIT;
        while unclaimed.answers.front().is_some_and(is_old) || unclaimed.answers.len() >= MOST_ANSWERS {
            if let Some(oldest) = unclaimed.answers.pop_front() {
                unclaimed.discount(oldest.place);
            }
        }
        unclaimed.count(answer.place);
        let answers = &mut unclaimed.answers;
        // Nearly always the latest one.
        match answers.iter().rev().take_while(|other| other.answered > answer.answered).count() {
            0 => answers.push_back(answer),
            later => answers.insert(answers.len() - later, answer),
        }
    }

    /// An attempt was claimed, or nobody will. `answered` is when its answer began; `at` where it was found, if it was.
    pub(super) fn remove(&mut self, client: Host, answered: Timestamp, key: ExchangeKey, at: Option<usize>) {
        let Some(place) = self.by_client.get_mut(client.index()) else { return };
        if let Some(unclaimed) = place
            && let Some(at) = unclaimed.position(answered, key, at)
        {
            if let Some(answer) = unclaimed.answers.remove(at) {
                unclaimed.discount(answer.place);
            }
            if unclaimed.answers.is_empty() && self.clients > MOST_EMPTY {
                *place = None;
                self.clients -= 1;
            }
        }
    }

    fn of(&self, client: Host) -> Option<&Unclaimed> {
        self.by_client.get(client.index())?.as_deref()
    }

    /// Whether one of an address's endpoints fits.
    fn has_place(&self, client: Host, mut fits: impl FnMut(Place) -> bool) -> bool {
        self.of(client).is_some_and(|unclaimed| unclaimed.places.iter().any(|(place, _)| fits(*place)))
    }

    /// All of them and where they stand, the latest first.
    fn latest_first(&self, client: Host) -> impl Iterator<Item = (usize, &Answer)> {
        let (earlier, later) = self.of(client).map(|unclaimed| unclaimed.answers.as_slices()).unwrap_or_default();
        let mut at = earlier.len() + later.len();
        later.iter().rev().chain(earlier.iter().rev()).map(move |answer| {
            at -= 1;
            (at, answer)
        })
    }
}

impl Correlator {
    /// An exchange was answered, and no identifier tells whether it was made for another one, or another one for it.
    pub(super) fn take_answer(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.books.exchange(key) else { return };
        if !exchange.status().is_some_and(|status| (200..500).contains(&status)) {
            return;
        }
        if exchange.attempts.is_empty()
            && let Some((attempt, at, pairing)) = self.server_of(exchange)
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
            self.adopt_orphan(key, attempt, pairing, Some(at));
        }
        let may_be_passed_on = |exchange: &Exchange| exchange.parent.is_none() && self.may_attempt(exchange);
        if self.books.exchange(key).is_some_and(may_be_passed_on) {
            self.offer(key);
        }
    }

    /// An answer waits to be claimed by the exchange that it is passed on to.
    pub(super) fn offer(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.books.exchange(key) else { return };
        let Some(content) = Content::of(exchange) else { return };
        let answer = Answer {
            key,
            place: exchange.place,
            began: self.began(exchange),
            answered: exchange.answered(),
            whole: content.mark(),
            content,
        };
        self.answers.insert(exchange.hosts.client, answer);
        if let Some(exchange) = self.books.exchange_mut(key) {
            exchange.offered = true;
        }
    }

    /// The attempt whose answer was passed on: of those whose answers came last, and are most alike, the one that began next
    /// after the request. So each exchange leaves to the others what only they can have.
    fn server_of(&self, front: &Exchange) -> Option<(ExchangeKey, usize, Pairing)> {
        let backs = self.gateways.akin(front.hosts.server);
        let mut is_behind = self.places.behind(front.place);
        if !backs.iter().any(|back| self.answers.has_place(*back, &mut is_behind)) {
            return None;
        }
        let wanted = Content::of(front)?;
        let whole = wanted.mark();
        let alike = |answer: &Answer| (answer.whole == whole).then_some(0);
        let more_or_less = |answer: &Answer| wanted.unlike(&answer.content);
        let found = self.latest_answer(front, &backs, &mut is_behind, alike);
        let found = found.or_else(|| self.latest_answer(front, &backs, &mut is_behind, more_or_less))?;
        let Found { key, at, unlike, began, answered, fitting } = found;
        let passed_on = front.response_start.as_ref()?.moment.at;
        let slack = [began.since(front.ready().at), passed_on.since(answered)];
        let is_close = unlike == 0 && slack.iter().all(|slack| *slack <= CLOSE);
        if !is_close && slack.map(surprise).iter().sum::<u32>() + unlike * UNLIKE > CERTAIN {
            return None;
        }
        let pairing = match fitting {
            1 if self.is_alone(front, key) && !self.is_unlike(front, key) => Pairing::Certain,
            1 => Pairing::Likely,
            _ => Pairing::Possible,
        };
        Some((key, at, pairing))
    }

    /// The same among answers of some addresses; `unlike` tells how unlike one is, if it can be the one at all.
    #[inline]
    fn latest_answer(
        &self,
        front: &Exchange,
        backs: &[Host],
        is_behind: &mut impl FnMut(Place) -> bool,
        unlike: impl Fn(&Answer) -> Option<u32>,
    ) -> Option<Found> {
        let passed_on = front.response_start.as_ref()?.moment.at;
        let (server, ready) = (front.hosts.server, front.ready().at);
        let (earliest, own) = (front.started.at - CLOCK_SLACK, front.key.connection);
        // Those from `since` on are looked at: once one is alike in everything, those that may have been read at the same turn.
        let mut since = front.started.at;
        let mut best: Option<Found> = None;
        for back in backs.iter().filter(|back| self.gateways.are_same(server, **back)) {
            for (at, answer) in self.answers.latest_first(*back) {
                if answer.answered < since {
                    break;
                }
                let Some(unlike) = unlike(answer) else { continue };
                let Answer { key, place, began, answered, .. } = *answer;
                let in_time = began >= earliest && answered <= passed_on;
                if !in_time || key.connection == own || !is_behind(place) {
                    continue;
                }
                let began = began.max(ready);
                let is_latest = match &mut best {
                    Some(found) if found.unlike < unlike => continue,
                    Some(found) if found.unlike == unlike => {
                        // It came before what may have been read at the same turn.
                        if unlike > 0 && answered < turn(found.answered, passed_on) {
                            continue;
                        }
                        found.fitting += 1;
                        if began < found.began {
                            (found.key, found.at, found.began) = (key, at, began);
                        }
                        let before = found.answered;
                        found.answered = before.max(answered);
                        answered > before
                    }
                    _ => {
                        best = Some(Found { key, at, unlike, began, answered, fitting: 1 });
                        true
                    }
                };
                if is_latest && unlike == 0 {
                    since = turn(answered, passed_on).max(since);
                }
            }
        }
        best
    }
}

/// Within this span at both ends no slack is too long.
const CLOSE: Duration = Duration::from_millis(40);
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
