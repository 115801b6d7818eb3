//! Phase connect, before any SYN: the gateway's host asked who has an address on its link, and nobody answered.

use std::time::Duration;

use crate::correlate::conversation::Conversation;
use crate::correlate::neighbours::Search;
use crate::correlate::{Case, Pairing, SHORTEST_PATIENCE};
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Given, Verdict, span};
use crate::diagnose::incident::{self, Actor, Grade};
use crate::event::Moment;

/// Why nothing was sent for a request: the neighbour that it was to go to, or to go by, does not answer. Taken by time, so
/// that it is never proven.
pub(super) fn judge(case: &Case<'_>) -> Option<Verdict> {
    let exchange = case.root.exchange;
    if !case.attempts.is_empty() || exchange.status().is_some_and(|status| status < 500) {
        return None;
    }
    let answer = exchange.response_start.as_ref().map(|start| start.moment).or(exchange.over)?;
    let search = &waited_for(case)?.until(answer);
    let others = in_time(case, answer).iter().filter(|other| other.target != search.target).count();
    let target = search.target;
    let why = format!("{}; no SYN left", asked(search, answer));
    let mut verdict = Verdict::new(
        Cause::ConnectUnreachable,
        Grade::Consistent,
        why,
        format!(
            "the gateway's host asked its link for {target}, and nobody answered: the connection to the upstream could not even begin"
        ),
    )
    .detail("no_neighbour");
    verdict = proof(search, verdict)
        .unknown(format!("whether {target} is the upstream itself, or the router on the way to it"))
        .or_else(
            Some(Cause::NoUpstreamAttempt),
            "the search for this neighbour had to do with another connection of the host, and the gateway answered by itself",
        );
    if others > 0 {
        verdict = verdict.or_else(None, format!("{others} other neighbours did not answer at that time either"));
    }
    Some(verdict)
}

/// The search that a request waited for in vain: the latest that began while it waited, else one that was under way. What is to
/// be sent to who is sought waits, until the kernel gives the search up or the gateway the connection: a request that was
/// answered at once in the midst of it did not wait for that.
fn waited_for<'a>(case: &Case<'a>) -> Option<&'a Search> {
    let exchange = case.root.exchange;
    let answer = exchange.response_start.as_ref().map(|start| start.moment).or(exchange.over)?;
    let began = exchange.ready();
    let mut found = in_time(case, answer);
    let has_waited = answer.at.since(began.at) >= SHORTEST_PATIENCE;
    let ends = |search: &Search| search.times >= QUESTIONS && answer.at >= search.last.at + PAUSE;
    found.retain(|search| has_waited || ends(&search.until(answer)));
    let own = found.iter().rev().find(|search| search.first > began);
    own.or(found.last()).copied()
}

/// The searches of the case's gateway that were under way when it answered, and had been while it was asked.
fn in_time<'a>(case: &Case<'a>, answer: Moment) -> Vec<&'a Search> {
    let exchange = case.root.exchange;
    let began = exchange.ready();
    let mut found = case.neighbours.unanswered(answer.at);
    found.retain(|search| {
        let under_way = search.last.at + GIVES_UP >= began.at && search.last.at + GIVES_UP >= answer.at;
        under_way && search.target != exchange.client.ip() && case.gateways.same(exchange.server.ip(), search.asker)
    });
    found
}

/// The search for the upstream of a connection that nobody answered while its SYN waited.
pub(super) fn sought_for(case: &Case<'_>, conversation: &Conversation, given: Option<Given>) -> Option<Search> {
    if !case.neighbours.hears_answers() {
        return None;
    }
    let until = given.map_or(conversation.last, |given| given.at);
    let mut searches = case.neighbours.unanswered_for(conversation.server.ip(), until.at);
    let asker = conversation.client.ip();
    let own = |search: &&Search| {
        search.asker == asker && search.last.at + GIVES_UP >= conversation.opened.at && search.times > 1
    };
    searches.find(own).copied()
}

/// The frames of a search.
pub(super) fn proof(search: &Search, verdict: Verdict) -> Verdict {
    let target = search.target;
    let verdict = verdict.proof(search.first, Actor::Gateway, format!("who has {target}? (asked on the link)"));
    if search.times < 2 {
        return verdict;
    }
    verdict.proof(search.last, Actor::Gateway, format!("the same, for the {} time; no answer", ordinal(search.times)))
}

/// `10.0.0.9 asked for 3 × in 2.0 s, no answer`.
pub(super) fn asked(search: &Search, until: Moment) -> String {
    let within = span(until.at.since(search.first.at));
    format!("{} asked for {} × on the link in {within}, no answer", search.target, search.times)
}

fn ordinal(n: u32) -> String {
    let ending = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// The attempt that was never made, as the reports have it.
pub(super) fn attempt(case: &Case<'_>, verdict: &Verdict) -> Option<incident::Attempt> {
    let is_own = verdict.cause == Cause::ConnectUnreachable && case.attempts.is_empty();
    let search = waited_for(case).filter(|_| is_own)?;
    Some(incident::Attempt {
        gateway: (search.asker, 0).into(),
        upstream: None,
        name: Some(search.target.to_string().into()),
        resolver: None,
        stream: None,
        exchange: 0,
        reused: false,
        protocol: "arp",
        method: None,
        target: None,
        status: None,
        outcome: Some(verdict.cause),
        grade: verdict.grade,
        pairing: Pairing::Likely,
        idle: None,
        request: None,
        first: search.first,
        last: search.last,
        hop: 0,
    })
}

/// A kernel asks this often before it gives a neighbour up, as Linux comes.
const QUESTIONS: u32 = 3;
/// Hardly less than the second that it waits after each question.
const PAUSE: Duration = Duration::from_millis(900);
/// A kernel gives a neighbour up a second after its third question.
const GIVES_UP: Duration = Duration::from_millis(1500);
