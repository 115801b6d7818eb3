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
use crate::event::{ConnectionId, Signs};
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

    /// All of them in two parts, the later one first, and where each part begins.
    fn parts(&self) -> [(usize, &[Answer]); 2] {
        let (earlier, later) = self.answers.as_slices();
        [(earlier.len(), later), (0, earlier)]
    }

    /// Of those that are equal to what is sought and came from `since` on, which of them was asked for first. The latest one is
    /// passed on at once: others fit as well that may have been read at the same turn.
    #[inline(never)] // On its own, what it compares with stays in registers.
    fn equal(&self, sought: &Sought, mut since: Timestamp, mut is_equal: impl FnMut(&Answer) -> bool) -> Option<Found> {
        let (mut first, mut chosen) = (Timestamp::from_nanos(i64::MAX), 0);
        let (mut fitting, mut latest) = (0, since);
        for (before, answers) in self.parts() {
            for (index, answer) in answers.iter().enumerate().rev() {
                if answer.answered < since {
                    break;
                }
                if !is_equal(answer) || !sought.is_in_time(answer) {
                    continue;
                }
                if fitting == 0 {
                    latest = answer.answered;
                    since = since.max(turn(latest, sought.passed_on));
                }
                fitting += 1;
                let began = answer.began.max(sought.ready);
                if began < first {
                    (first, chosen) = (began, before + index);
                }
            }
        }
        let Answer { key, .. } = *self.answers.get(chosen).filter(|_| fitting > 0)?;
        Some(Found { key, at: chosen, unlike: 0, began: first, answered: latest, fitting })
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
    /// The mark of the method; another one where it was made for nobody.
    method: u64,
    target: u64,
    length: Option<u64>,
    status: u16,
}

impl Content {
    fn of(exchange: &Exchange) -> Option<Self> {
        let request = exchange.request.as_ref()?;
        Some(Self {
            method: request.method_mark ^ u64::from(request.signs.has(Signs::ASIDE)),
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

/// The answer that was passed on, as far as it can be told.
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

impl Found {
    /// Others fit as well: the one that was asked for first is meant.
    fn join(&mut self, others: &Self) {
        self.fitting += others.fitting;
        self.answered = self.answered.max(others.answered);
        if others.began < self.began {
            (self.key, self.at, self.began) = (others.key, others.at, others.began);
        }
    }
}

/// What an answer must be to have been passed on by an exchange.
struct Sought {
    own: ConnectionId,
    server: Host,
    started: Timestamp,
    earliest: Timestamp,
    ready: Timestamp,
    passed_on: Timestamp,
}

impl Sought {
    fn of(front: &Exchange) -> Option<Self> {
        Some(Self {
            own: front.key.connection,
            server: front.hosts.server,
            started: front.started.at,
            earliest: front.started.at - CLOCK_SLACK,
            ready: front.ready().at,
            passed_on: front.response_start.as_ref()?.moment.at,
        })
    }

    /// Whether an answer came in the exchange's time, and from another connection.
    #[inline]
    fn is_in_time(&self, answer: &Answer) -> bool {
        answer.began >= self.earliest && answer.answered <= self.passed_on && answer.key.connection != self.own
    }
}

/// Since when answers may have been read at the same turn of a gateway's loop as one that came at `answered`, where one of them was
/// passed on at `passed_on`.
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
        // Most gateways do not pass on what is malformed: who did is found later.
        let may_be_passed_on =
            |exchange: &Exchange| exchange.parent.is_none() && exchange.defect.is_none() && self.may_attempt(exchange);
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
        let sought = Sought::of(front)?;
        let found = self.equal_answer(&sought, &backs, wanted.mark(), &mut is_behind);
        let found = found.or_else(|| self.similar_answer(&sought, &backs, &wanted, &mut is_behind))?;
        let Found { key, at, unlike, began, answered, fitting } = found;
        let slack = [began.since(sought.ready), sought.passed_on.since(answered)];
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

    /// The same among answers of some addresses that are alike in everything. Once there is one, only those are looked at that may
    /// have been read at the same turn; of them, the one that was asked for first is meant.
    fn equal_answer(
        &self,
        sought: &Sought,
        backs: &[Host],
        whole: u64,
        is_behind: &mut impl FnMut(Place) -> bool,
    ) -> Option<Found> {
        let mut best: Option<Found> = None;
        for back in backs.iter().filter(|back| self.gateways.are_same(sought.server, **back)) {
            let Some(unclaimed) = self.answers.of(*back) else { continue };
            let turn = best.as_ref().map(|best| turn(best.answered, sought.passed_on));
            let since = turn.map_or(sought.started, |turn| turn.max(sought.started));
            let all_behind = unclaimed.places.iter().all(|(place, _)| is_behind(*place));
            let found = match all_behind {
                true => unclaimed.equal(sought, since, |answer| answer.whole == whole),
                false => unclaimed.equal(sought, since, |answer| answer.whole == whole && is_behind(answer.place)),
            };
            let Some(found) = found else { continue };
            match &mut best {
                Some(best) => best.join(&found),
                None => best = Some(found),
            }
        }
        best
    }

    /// The same among those that are alike more or less: of the most alike ones those that came last.
    #[cold]
    fn similar_answer(
        &self,
        sought: &Sought,
        backs: &[Host],
        wanted: &Content,
        is_behind: &mut impl FnMut(Place) -> bool,
    ) -> Option<Found> {
        let mut best: Option<Found> = None;
        for back in backs.iter().filter(|back| self.gateways.are_same(sought.server, **back)) {
            let Some(unclaimed) = self.answers.of(*back) else { continue };
            let answers = unclaimed.parts().into_iter().flat_map(|(before, answers)| {
                answers.iter().enumerate().rev().map(move |(index, answer)| (before + index, answer))
            });
            for (at, answer) in answers.take_while(|(_, answer)| answer.answered >= sought.started) {
                let unlike = wanted.unlike(&answer.content);
                let unlike = unlike.filter(|_| sought.is_in_time(answer) && is_behind(answer.place));
                let Some(unlike) = unlike else { continue };
                let Answer { key, began, answered, .. } = *answer;
                let found = Found { key, at, unlike, began: began.max(sought.ready), answered, fitting: 1 };
                match &mut best {
                    Some(best) if best.unlike < unlike => {}
                    Some(best) if best.unlike == unlike => {
                        // Else it came before what may have been read at the same turn.
                        if answered >= turn(best.answered, sought.passed_on) {
                            best.join(&found);
                        }
                    }
                    _ => best = Some(found),
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
