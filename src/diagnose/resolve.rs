//! Phase resolve: the gateway asked for its upstream's name, and was given no address.

use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::conversation::{Conversation, Exchange};
use crate::correlate::lookup::{Lookup, Outcome, Query};
use crate::correlate::resolution::Resolution;
use crate::correlate::{Case, Pairing};
use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::evidence::{Verdict, span};
use crate::diagnose::incident::{self, Actor, Grade, Leg};
use crate::diagnose::neighbour;
use crate::diagnose::pools::Kind;
use crate::event::Moment;
use crate::event::lookup::{Code, Message, Rejected, reason};
use crate::time::Timestamp;

/// Why an exchange failed that waited for a lookup and was answered without an attempt.
#[must_use]
pub fn judge(case: &Case<'_>, exchange: &Exchange) -> Option<Verdict> {
    let resolution = resolution(case, exchange)?;
    let given = given(exchange)?;
    let mut verdict = match resolution.outcome {
        Outcome::Found => return None,
        Outcome::NoName(query) => answered(query, Cause::DnsNxdomain, "nxdomain"),
        Outcome::NoAddress(query) => answered(query, Cause::DnsNxdomain, "no_address"),
        Outcome::Failed(query) => answered(query, Cause::DnsFailure, failure(query)),
        Outcome::Split(query) => split(query),
        Outcome::Rejected(query) => rejected(query),
        Outcome::Silent(query) => silent(resolution, query, given),
    };
    verdict = put(resolution.lookup, given, verdict);
    verdict = came(resolution, verdict);
    verdict = verdict.proof_on(Leg::Downstream, given, Actor::Gateway, gave(exchange, resolution, given));
    verdict.evidence.sort_by_key(|proof| proof.moment);
    lower(case, resolution, exchange, given, &mut verdict);
    Some(verdict)
}

/// Why a request was answered without an attempt: a name that led nowhere, or a neighbour that did not answer. A lookup that began
/// before the request, of a name that it does not bear, says less than a search for a neighbour.
pub(super) fn or_link(case: &Case<'_>) -> Option<Verdict> {
    let name = judge(case, case.root.exchange);
    let is_vague =
        resolution(case, case.root.exchange).is_some_and(|resolution| resolution.shared && !resolution.named);
    match name {
        Some(name) if !is_vague => Some(name),
        name => neighbour::judge(case).or(name),
    }
}

/// When an exchange was answered, or its connection closed.
#[must_use]
pub fn given(exchange: &Exchange) -> Option<Moment> {
    exchange.response_start.as_ref().map(|start| start.moment).or(exchange.over)
}

/// The lookup that an exchange waited for.
#[must_use]
pub fn resolution<'c, 'a>(case: &'c Case<'a>, exchange: &Exchange) -> Option<&'c Resolution<'a>> {
    case.resolutions.iter().find(|(key, _)| *key == exchange.key).map(|(_, resolution)| resolution)
}

/// The lookup as an attempt: it got as far as this.
#[must_use]
pub fn attempt(resolution: &Resolution<'_>, given: Moment, verdict: &Verdict, hop: u8) -> incident::Attempt {
    let Resolution { lookup, outcome, .. } = resolution;
    let decides = outcome.query();
    let last = outcome.at().unwrap_or(lookup.last_put(given));
    incident::Attempt {
        gateway: lookup.client,
        upstream: None,
        name: Some(decides.map_or(&lookup.name, |query| &query.name).clone()),
        resolver: decides.map(|query| query.server),
        stream: None,
        exchange: 0,
        reused: false,
        protocol: "dns",
        method: None,
        target: None,
        status: None,
        outcome: Some(verdict.cause),
        grade: verdict.grade,
        pairing: resolution.pairing,
        idle: None,
        request: None,
        first: lookup.began,
        last,
        hop,
    }
}

fn answered(query: &Query, cause: Cause, detail: &'static str) -> Verdict {
    let Query { name, server, .. } = query;
    let said = query.answer.as_ref().map_or_else(String::new, |(_, message)| said(message));
    let (why, summary) = match detail {
        "nxdomain" => (
            format!("{name}: {said} by {server}"),
            format!("{server} says that there is no such name as {name}: {said}"),
        ),
        "no_address" => (
            format!("{name}: no address, says {server}"),
            format!("{server} knows the name {name}, but no address of it: {said}"),
        ),
        _ => (
            format!("{name}: {said} by {server}"),
            format!("{server} could not or would not say what address {name} has: {said}"),
        ),
    };
    let mut verdict = Verdict::new(cause, Grade::Proven, why, summary).detail(detail);
    if let Some((moment, _)) = &query.answer {
        let frame = Some(moment.frame);
        verdict = verdict.rules_out(Cause::DnsTimeout, "the query was answered", frame);
        verdict = match cause {
            Cause::DnsNxdomain => {
                verdict.rules_out(Cause::DnsFailure, "the answer is no error of the server's own", frame)
            }
            _ => verdict.rules_out(Cause::DnsNxdomain, "the answer says nothing about the name", frame),
        };
    }
    verdict
}

/// One family has an address: some gateways connect to it, others take the error for the whole name.
fn split(query: &Query) -> Verdict {
    let Query { name, server, kind, .. } = query;
    let mut verdict = answered(query, Cause::DnsFailure, failure(query));
    verdict.summary = format!(
        "{server} gave an address of {name}, but could not or would not answer for {kind}; the gateway takes the one error for the whole name"
    );
    verdict.why.push_str(&format!(" for {kind}"));
    verdict.lower(
        Grade::Consistent,
        "whether the gateway takes an error of one family for the whole name: its error log tells",
    );
    verdict.or_else(
        Some(Cause::NoUpstreamAttempt),
        "the gateway took the address, and its own kernel refused the connection, which leaves no packet",
    )
}

/// What an answer says: `NXDOMAIN`, with the server's own reason where it gives one.
fn said(message: &Message) -> String {
    let mut said = message.code.to_string();
    if let Some((code, text)) = &message.reason {
        let meaning = reason(*code).map_or_else(|| format!("extended error {code}"), str::to_owned);
        let text = if text.is_empty() { String::new() } else { format!(": {text}") };
        said.push_str(&format!(" ({meaning}{text})"));
    }
    if let Some(alias) = message.aliases.last() {
        said.push_str(&format!(", by way of {alias}"));
    }
    said
}

fn failure(query: &Query) -> &'static str {
    match query.answer.as_ref().map(|(_, message)| message.code) {
        Some(Code::SERVFAIL) => "servfail",
        Some(Code::REFUSED) => "refused",
        Some(Code::FORMERR) => "formerr",
        Some(Code::NOTIMP) => "notimp",
        _ => "rcode",
    }
}

fn rejected(query: &Query) -> Verdict {
    let Query { name, server, .. } = query;
    let meaning = query.rejected.map_or("unreachable", |(_, rejected)| meaning(&rejected));
    let from = query.rejected.map(|(_, rejected)| rejected.from);
    let from = from.filter(|from| *from != server.ip()).map_or_else(String::new, |from| format!(" from {from}"));
    let mut verdict = Verdict::new(
        Cause::DnsFailure,
        Grade::Proven,
        format!("{name}: {server} cannot be asked ({meaning}{from})"),
        format!("the query for {name} did not reach a name server at {server}: ICMP {meaning}{from}"),
    )
    .detail("icmp_unreachable");
    if let Some((moment, _)) = query.rejected {
        verdict = verdict.rules_out(Cause::DnsNxdomain, "no name server answered", Some(moment.frame));
        verdict = verdict.rules_out(Cause::DnsTimeout, "the query was answered by an ICMP error", Some(moment.frame));
    }
    verdict
}

/// What an ICMP error says about a query.
const fn meaning(error: &Rejected) -> &'static str {
    match (error.v6, error.icmp_type, error.code) {
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 0) | (true, 1, 0) => "net unreachable",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "administratively prohibited",
        _ => "destination unreachable",
    }
}

fn silent(resolution: &Resolution<'_>, query: &Query, given: Moment) -> Verdict {
    let Query { name, server, .. } = query;
    let lookup = resolution.lookup;
    let waited = given.at.since(lookup.began.at);
    let times = match lookup.times(given) {
        0 | 1 => String::from("once"),
        times => format!("{times} times"),
    };
    let mut verdict = Verdict::new(
        Cause::DnsTimeout,
        Grade::Proven,
        format!("{name}: {server} asked {times}, no answer in {}", span(waited)),
        format!("{server} was asked for the address of {name} {times} and did not answer; the gateway gave up"),
    );
    if query.is_truncated() {
        verdict = verdict.detail("truncated");
        verdict.summary =
            format!("{server} cut its answer for {name} short, and did not answer over TCP; the gateway gave up");
    }
    verdict = verdict.rules_out(Cause::DnsNxdomain, "no answer came", None);
    let is_over = |query: &&Query| query.puts.last().is_some_and(|last| *last <= given);
    let late = lookup.queries.iter().filter(is_over).filter_map(|query| query.answer.as_ref());
    if let Some((moment, message)) = late.filter(|(moment, _)| *moment > given).min_by_key(|(moment, _)| *moment) {
        let after = moment.at.since(given.at);
        verdict =
            verdict.proof(*moment, Actor::Upstream, format!("the answer, {} too late: {}", span(after), said(message)));
    }
    let put = lookup.last_put(given);
    if lookup.times(given) < 2 || given.at.since(put.at) < SHORTEST_WAIT {
        verdict.lower(
            Grade::Consistent,
            "whether an answer came that the capture misses: the query was put once only, or just before",
        );
        verdict = verdict
            .or_else(Some(Cause::DnsFailure), "an error of the name server that came late, and is not in the capture");
    } else {
        verdict = verdict.rules_out(Cause::DnsFailure, "neither answer nor ICMP error came", None);
    }
    verdict
}

/// The queries, each as it was first put.
fn put(lookup: &Lookup, given: Moment, mut verdict: Verdict) -> Verdict {
    for query in lookup.queries.iter().take(MOST_SHOWN) {
        let Some(((times, last), first)) = query.put_by(given).zip(query.first()) else { continue };
        let over = if query.tcp { " over TCP" } else { "" };
        let (by, from) = if query.forwarded { ("asked on: ", Actor::Network) } else { ("", Actor::Gateway) };
        let what = format!("{by}query {} {} to {}{over}", query.kind, query.name, query.server);
        verdict = verdict.proof(first, from, what);
        if times > 1 {
            verdict = verdict.proof(last, from, format!("the same query again ({times} × in all)"));
        }
    }
    verdict
}

/// What came back.
fn came(resolution: &Resolution<'_>, mut verdict: Verdict) -> Verdict {
    let decides = resolution.outcome.query();
    for query in resolution.lookup.queries.iter().take(MOST_SHOWN) {
        let is_last = decides.is_some_and(|decides| std::ptr::eq(decides, query));
        let role = if is_last { "the final answer" } else { "an answer" };
        if let Some((moment, message)) = &query.answer
            && !matches!(resolution.outcome, Outcome::Silent(_))
        {
            let what = format!("{role} to {} {}: {}", query.kind, query.name, said(message));
            verdict = verdict.proof(*moment, Actor::Upstream, what);
        }
        if let Some((moment, rejected)) = &query.rejected {
            let what = format!("ICMP from {}: {}; quotes the query", rejected.from, meaning(rejected));
            verdict = verdict.proof(*moment, Actor::Network, what);
        }
    }
    verdict
}

fn gave(exchange: &Exchange, resolution: &Resolution<'_>, given: Moment) -> String {
    let what =
        exchange.status().map_or_else(|| String::from("closes without an answer"), |status| format!("status {status}"));
    let since = resolution.outcome.at().unwrap_or(resolution.lookup.began);
    let after = if resolution.outcome.at().is_some() { "after it" } else { "after the query" };
    format!("{what} {} {after}; nothing was sent upstream for it", span(given.at.since(since.at)))
}

/// What keeps it from proof.
fn lower(case: &Case<'_>, resolution: &Resolution<'_>, exchange: &Exchange, given: Moment, verdict: &mut Verdict) {
    let Resolution { lookup, outcome, pairing, .. } = resolution;
    match pairing {
        Pairing::Certain => {}
        Pairing::Likely => {
            verdict.lower(Grade::Consistent, "that this request waited for this name: time alone says so")
        }
        Pairing::Possible => {
            verdict.lower(
                Grade::Consistent,
                "that this request waited for this name: other lookups, or other requests, fit as well",
            );
        }
    }
    for rival in resolution.rivals.iter().take(MOST_RIVALS) {
        *verdict = verdict.clone().or_else(None, format!("the lookup of {rival}, which failed at the same time"));
    }
    if !resolution.own {
        verdict.lower(
            Grade::Consistent,
            format!("whether it was the gateway that asked: the query came from {}", lookup.client.ip()),
        );
    } else if !case.gateways.is_known(lookup.client.ip()) {
        verdict.lower(Grade::Consistent, "whether it was the gateway that asked, or another program of its host");
    }
    let visible = case.upstream_visible || case.gateways.is_front(exchange.server.ip());
    if !visible {
        verdict.lower(
            Grade::Consistent,
            "whether nothing was sent upstream all the same: no attempt of this gateway is in the capture",
        );
    } else if case.upstream_opaque {
        verdict.lower(Grade::Consistent, "whether the request was sent on a connection whose content is not read");
    }
    if lookup.queries.iter().any(|query| query.puts.is_empty()) {
        verdict.lower(Grade::Consistent, "when the query was put, and how often: the capture does not hold it");
    }
    if outcome.at().is_some() && lookup.is_incomplete(given) {
        verdict
            .lower(Grade::Consistent, "what the answers would have been that had not come, or are not in the capture");
    }
    if let (Some(at), false) = (outcome.at(), matches!(outcome, Outcome::Rejected(_)))
        && given.at.since(at.at) > LONGEST_REACTION
    {
        verdict.lower(Grade::Consistent, "what the gateway did between the answer and its own");
    }
    if resolution.shared && !resolution.named {
        verdict.lower(Grade::Consistent, "that this request waited for a lookup that had begun before it");
    }
}

/// A lookup that failed for a request of some kind: while its answer holds, others of the kind may fail without a query.
#[derive(Clone, Debug)]
pub struct Remembered {
    gateway: IpAddr,
    kind: Kind,
    name: Box<str>,
    cause: Cause,
    moment: Moment,
    until: Timestamp,
}

impl Remembered {
    /// What to remember of a verdict.
    #[must_use]
    pub fn of(case: &Case<'_>, kind: Kind, verdict: &Verdict) -> Option<Self> {
        let exchange = case.root.exchange;
        let resolution = resolution(case, exchange).filter(|_| verdict.cause.phase() == Phase::Resolve)?;
        let query = resolution.outcome.query()?;
        let lifetime = query.answer.as_ref().and_then(|(_, message)| message.lifetime).unwrap_or(USUAL_LIFETIME);
        let moment = resolution.outcome.at().or(given(exchange))?;
        Some(Self {
            gateway: case.gateways.root(exchange.server.ip()),
            kind,
            name: query.name.clone(),
            cause: verdict.cause,
            moment,
            until: moment.at + lifetime.clamp(USUAL_LIFETIME, LONGEST_LIFETIME),
        })
    }

    /// Whether it may be why an exchange of a kind failed without a query.
    #[must_use]
    pub fn explains(&self, case: &Case<'_>, kind: Kind, at: Moment) -> bool {
        let server = case.root.exchange.server.ip();
        let since = case.names.of(server, case.gateways, at, LONGEST_LIFETIME);
        let mut since = since.take_while(|lookup| lookup.began > self.moment);
        let found = since.any(|lookup| lookup.name == self.name && matches!(lookup.outcome(at), Outcome::Found));
        self.gateway == case.gateways.root(case.root.exchange.server.ip())
            && self.kind == kind
            && self.moment < at
            && at.at <= self.until
            && !found
    }

    /// What is said of such an exchange, for which nothing was sent.
    #[must_use]
    pub fn verdict(&self, at: Moment, nothing_sent: Verdict) -> Verdict {
        let Self { name, cause, moment, .. } = self;
        standing(*cause, name, *moment, at, nothing_sent)
    }
}

/// A lookup of the same gateway, not for this exchange, that failed before and has not succeeded since.
#[derive(Clone, Copy, Debug)]
pub struct Background<'a> {
    /// How it failed.
    pub cause: Cause,
    /// The name.
    pub name: &'a str,
    /// When that was final.
    pub failed: Moment,
    /// Whether the gateway asks for no other name, and this one had led somewhere before.
    pub is_only: bool,
}

/// The name that a gateway looks up by itself, and that leads nowhere. `None` where there are several: which of them the
/// exchange needed is not known.
#[must_use]
pub fn background<'c>(case: &'c Case<'_>, at: Moment) -> Option<Background<'c>> {
    let mut failing: Option<Background<'c>> = None;
    let mut found: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for lookup in case.names.of(case.root.exchange.server.ip(), case.gateways, at, LONGEST_LIFETIME) {
        let (name, outcome) = (&*lookup.name, lookup.outcome(at));
        if !names.contains(&name) {
            names.push(name);
        }
        let cause = match outcome {
            Outcome::Found => {
                found.push(name);
                continue;
            }
            Outcome::NoName(_) | Outcome::NoAddress(_) => Cause::DnsNxdomain,
            Outcome::Failed(_) | Outcome::Split(_) | Outcome::Rejected(_) => Cause::DnsFailure,
            Outcome::Silent(_) if at.at.since(lookup.began.at) >= SHORTEST_WAIT => Cause::DnsTimeout,
            Outcome::Silent(_) => continue,
        };
        if found.contains(&name) || at.at.since(lookup.began.at) > STANDING {
            continue;
        }
        match failing {
            Some(other) if other.name != name => return None,
            Some(_) => {}
            None => {
                let failed = outcome.at().unwrap_or(lookup.began);
                failing = Some(Background { cause, name, failed, is_only: false });
            }
        }
    }
    let failing = failing?;
    Some(Background { is_only: names.len() == 1 && found.contains(&failing.name), ..failing })
}

/// Nothing was sent, and no name asked for; one that was asked for before led nowhere.
#[must_use]
pub fn standing(cause: Cause, name: &str, failed: Moment, at: Moment, nothing_sent: Verdict) -> Verdict {
    let ago = span(at.at.since(failed.at));
    let mut verdict = Verdict::new(
        cause,
        Grade::Consistent,
        format!("{name}: led nowhere {ago} before; nothing sent, not asked again"),
        format!("nothing was sent, and no name asked for; the gateway's lookup of {name} had failed {ago} before"),
    )
    .detail("remembered")
    .proof(failed, Actor::Upstream, format!("the lookup of {name} that failed"));
    verdict.evidence.extend(nothing_sent.evidence);
    verdict
        .or_else(Some(Cause::NoUpstreamAttempt), "the gateway answered by itself for another reason")
        .unknown("whether the request was for that name, and whether the gateway remembers such an answer")
}

/// Notes at a connection that failed that its address is out of date: the name that led there has another one since.
pub fn note_outdated(case: &Case<'_>, tried: &Conversation, verdict: &mut Verdict) {
    let upstream = tried.server;
    if verdict.cause.phase() != Phase::Connect {
        return;
    }
    let outdated = case.names.outdated(upstream.ip());
    let Some((name, known)) = outdated.into_iter().find(|(_, known)| known.at < tried.opened) else {
        return;
    };
    let now: Vec<String> = known.now.iter().take(MOST_SHOWN).map(ToString::to_string).collect();
    let now = now.join(", ");
    if verdict.detail.is_none() {
        verdict.detail = Some("stale_address");
    }
    let what = format!("the latest answer for {name}: {now}; {} is not among them any more", upstream.ip());
    *verdict = verdict.clone().proof(known.at, Actor::Network, what).or_else(
        None,
        format!("a stale address: {name} had {} before, and has {now} now. A name with many addresses may be answered with some of them only", upstream.ip()),
    );
    verdict.evidence.sort_by_key(|proof| proof.moment);
}

/// A gateway acts on an answer within this span.
const LONGEST_REACTION: Duration = Duration::from_secs(1);
/// Silence since the last query that is no more than a slow answer.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// Queries that are shown, and rivals that are named.
const MOST_SHOWN: usize = 8;
const MOST_RIVALS: usize = 3;
/// For how long gateways remember a name that led nowhere, whatever the answer says.
const USUAL_LIFETIME: Duration = Duration::from_secs(10);
const LONGEST_LIFETIME: Duration = Duration::from_secs(300);
/// A lookup that failed longer ago says nothing of the present: gateways that look names up by themselves do so every few
/// seconds.
const STANDING: Duration = Duration::from_secs(30);
