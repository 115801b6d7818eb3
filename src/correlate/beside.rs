//! What a gateway asked of upstreams beside the attempts that an answer is owed to: whether the client may have it (an
//! authorisation service), what it copies to others (a mirror), or what the answer sent it on to. None of these is a retry: a
//! gateway tries again when an attempt has failed, and not before.
//!
//! ```text
//!   retry         |== fails ==|x |==== serves ====|        one gave way to the next
//!   beside        |= in order =| |==== serves ====|        nothing failed
//!   beside        |==== serves ====|                       nobody waited for it
//!                  |======= copy =======|
//! ```

use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::cost::SHORTEST_PATIENCE;
use crate::correlate::{Party, Try};
use crate::event::{Moment, Side};

type Tries<'a> = SmallVec<[Try<'a>; 2]>;

/// Takes what was asked beside out of the attempts of an exchange, with what gateways behind it made of that, and returns it.
pub(super) fn set_apart<'a>(root: Party<'a>, attempts: &mut Tries<'a>) -> Tries<'a> {
    let mut own = attempts.iter().filter(|attempt| attempt.hop == 0);
    if own.by_ref().nth(1).is_none() {
        return Tries::new();
    }
    let Some(decisive) = decisive(root.exchange, attempts) else { return Tries::new() };
    let pages = attempts.iter().map(|attempt| attempt.party).filter(|party| is_page(root.exchange, *party, attempts));
    let pages: SmallVec<[ExchangeKey; 2]> = pages.map(|party| party.exchange.key).collect();
    let mut apart = Tries::new();
    let mut is_apart = false;
    attempts.retain(|attempt| {
        if attempt.hop == 0 {
            is_apart = pages.contains(&attempt.party.exchange.key) || is_beside(root.exchange, attempt.party, decisive);
        }
        if is_apart {
            apart.push(*attempt);
        }
        !is_apart
    });
    apart
}

/// The attempt that the client's answer comes from, or whose failure came right before it.
fn decisive<'a>(front: &Exchange, attempts: &Tries<'a>) -> Option<Party<'a>> {
    let own = || {
        let own = attempts.iter().filter(|attempt| attempt.hop == 0).map(|attempt| attempt.party);
        own.filter(|party| !is_page(front, *party, attempts))
    };
    let answer = front.response_start.as_ref().map(|start| start.moment).or(front.over)?;
    let alike = |party: Party<'_>| target(front).is_some() && target(front) == target(party.exchange);
    if front.status().is_some_and(|status| status < 500) {
        let answered = |party: Party<'_>| {
            let start = party.exchange.response_start.as_ref().map(|start| start.moment);
            start.filter(|start| party.exchange.status() == front.status() && *start < answer)
        };
        // What another attempt followed was not good enough.
        let is_last = |party: Party<'_>| {
            !own().any(|next| {
                let after = began(next);
                after > began(party) && answered(next).is_some() && gave_way(party, after)
            })
        };
        let served = own().filter(|party| is_last(*party)).filter_map(|party| Some((answered(party)?, party)));
        return served.max_by_key(|(start, party)| (alike(*party), *start)).map(|(_, party)| party);
    }
    let failed = |party: Party<'a>| {
        let [.., let_go] = signs(party);
        let before = signs(party).into_iter().flatten().filter(|sign| *sign < answer).max();
        // What the gateway had hardly waited for it let go of with the rest.
        let patient = |sign: &Moment| sign.at.since(began(party).at) >= SHORTEST_PATIENCE;
        let given_up = let_go.filter(patient).is_some_and(|sign| sign.at <= answer.at + LETTING_GO);
        (!is_served(party, answer) && (before.is_some() || given_up)).then_some((before, party))
    };
    own().filter_map(failed).max_by_key(|(before, party)| (alike(*party), *before)).map(|(_, party)| party)
}

/// Whether a gateway that had failed asked for the page to say so with: a request of its own, for something else than its client's
/// request and the attempts before, of which the client did not get the status.
fn is_page(front: &Exchange, party: Party<'_>, attempts: &Tries<'_>) -> bool {
    let asks_else = target(front).zip(target(party.exchange)).is_some_and(|(wanted, asked)| wanted != asked);
    let error = front.status().filter(|status| *status >= 500);
    if !asks_else || error.is_none() || party.exchange.status() == error {
        return false;
    }
    let (own, in_order) = (began(party), party.exchange.is_in_order());
    attempts.iter().filter(|attempt| attempt.hop == 0).any(|attempt| {
        let before = attempt.party;
        // Of a connection that carried no request nothing tells whether the gateway sends targets on as they come.
        let as_asked = target(before.exchange) == target(front) || before.exchange.key.number == 0 && in_order;
        let good = before.exchange.status().is_some_and(|status| status < 500) && before.exchange.defect.is_none();
        let failed = !good && gave_way(before, own);
        // Where it failed as well, either may be the reason, unless the other one's status was passed on.
        let explains = in_order || before.exchange.status() == error || before.exchange.defect.is_some();
        began(before) < own && as_asked && failed && explains
    })
}

/// Whether a request was made beside the decisive one.
fn is_beside(front: &Exchange, party: Party<'_>, decisive: Party<'_>) -> bool {
    if party.exchange.key == decisive.exchange.key {
        return false;
    }
    let served = front.status().is_some_and(|status| status < 500);
    let (own, other) = (began(party), began(decisive));
    if own > other {
        // What served the client gave no reason for another attempt.
        return served || !gave_way(decisive, own);
    }
    // Who tries again asks for the same.
    let wanted = target(front).filter(|wanted| target(decisive.exchange) == Some(wanted));
    if wanted.zip(target(party.exchange)).is_some_and(|(wanted, asked)| wanted != asked) {
        return true;
    }
    let settled = party.exchange.response_end.is_some_and(|end| end.moment < other);
    settled && party.exchange.is_in_order() || !gave_way(party, other)
}

/// Whether a good answer to an attempt had begun by the time.
fn is_served(party: Party<'_>, by: Moment) -> bool {
    let began = party.exchange.response_start.as_ref().is_some_and(|start| start.moment < by);
    began && party.exchange.is_in_order()
}

/// Whether an attempt had come to something when the gateway turned to another one.
fn gave_way(party: Party<'_>, next: Moment) -> bool {
    let [by_upstream @ .., let_go] = signs(party);
    let unanswered = party.exchange.key.number == 0 && party.conversation.syn_ack.is_none();
    let first = by_upstream.into_iter().flatten().min();
    let seen = first.is_some_and(|first| first < next);
    let unprovoked = |sign: &Moment| first.is_none_or(|first| *sign < first);
    let given_up = let_go.filter(unprovoked).is_some_and(|sign| sign.at <= next.at + LETTING_GO);
    let silent = unanswered && by_upstream.iter().all(Option::is_none);
    seen || given_up || silent
}

/// What a gateway may act on: the first octets of an answer, a defect in it, the end of the stream or of the connection by the
/// upstream, its word that it did not work on it, the network's refusal; and its own end of it.
fn signs(Party { exchange, conversation }: Party<'_>) -> [Option<Moment>; 6] {
    let is_last = conversation.highest == exchange.key.number;
    let close = |side| conversation.close(side).filter(|_| is_last).map(|(moment, ..)| moment);
    let end = |side| exchange.reset_by(side).map(|(moment, _)| moment).or_else(|| close(side));
    [
        exchange.response_start.as_ref().map(|start| start.moment),
        exchange.defect.map(|(moment, _)| moment),
        end(Side::Server),
        conversation.refused(Side::Server, exchange.key.number),
        conversation.unreachable.first().map(|(moment, _)| *moment).filter(|_| exchange.key.number == 0),
        end(Side::Client),
    ]
}

/// When the gateway began with an attempt: its SYN, where it opened a connection for it.
fn began(Party { exchange, conversation }: Party<'_>) -> Moment {
    if exchange.reused { exchange.started } else { conversation.opened }
}

fn target(exchange: &Exchange) -> Option<&str> {
    exchange.request.as_ref().map(|request| request.target())
}

/// A gateway that turns to another upstream, or answers, closes the connection that it has given up on within this span.
const LETTING_GO: Duration = Duration::from_millis(5);
