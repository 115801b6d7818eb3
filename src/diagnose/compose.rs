//! A judged case to the plain data of an incident.

use crate::correlate::conversation::Exchange;
use crate::correlate::{Case, Party, Role, Try};
use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::evidence::{Attempt, Verdict};
use crate::diagnose::incident::{self, Downstream, Grade, Incident, Kind};
use crate::diagnose::product::{self, Asker, Product};
use crate::diagnose::resolve;
use crate::diagnose::{ladder, neighbour};
use crate::event::{Endpoint, Moment, Protocol, Side};

/// An attempt with its verdict.
pub(super) struct Judged<'a> {
    pub(super) attempt: Try<'a>,
    pub(super) view: Attempt<'a>,
    pub(super) verdict: Option<Verdict>,
}

/// The endpoint whose gateway met with what the verdict says: of a chain, the one that made the attempt which failed so, or
/// the one that made none.
pub(super) fn met_by(case: &Case<'_>, judged: &[Judged<'_>], verdict: &Verdict) -> Endpoint {
    let says_so = |judged: &Judged<'_>| judged.verdict.as_ref().is_some_and(|own| own.cause == verdict.cause);
    let Some((index, found)) = judged.iter().enumerate().rfind(|(_, judged)| says_so(judged)) else {
        return case.root.exchange.server;
    };
    let made_none = matches!(verdict.cause, Cause::NoUpstreamAttempt | Cause::UpstreamNotCaptured);
    if made_none || verdict.cause.phase() == Phase::Resolve {
        return found.attempt.party.exchange.server;
    }
    let before = judged.get(..index).unwrap_or_default().iter();
    let outer = before.rev().find(|outer| outer.attempt.hop + 1 == found.attempt.hop);
    outer.map_or(case.root, |outer| outer.attempt.party).exchange.server
}

/// The incident that a case is, with the products that answered the client and that met with the failure, and with who made
/// the attempt where only that is visible.
pub(super) fn compose(
    kind: Kind,
    case: &Case<'_>,
    judged: Vec<Judged<'_>>,
    mut verdict: Verdict,
    (responder, product, asker): (Option<Product>, Option<Product>, Option<Asker>),
) -> Incident {
    if case.partial {
        verdict.lower(Grade::Consistent, "what happened on connections that --max-cpu left out");
    }
    let root = case.root.exchange;
    let time = match case.role {
        Role::Downstream => answer(case).or(root.over).unwrap_or(root.started).at,
        Role::Upstream => verdict.evidence.last().map_or(root.started.at, |proof| proof.moment.at),
    };
    let downstream = (case.role == Role::Downstream).then(|| downstream(case, responder)).flatten();
    let status = downstream.as_ref().and_then(|downstream| downstream.status);
    let ladder = ladder::steps(case, &verdict);
    let attempts = attempts(case, &judged, &verdict);
    let mut likely_status = Vec::new();
    if kind == Kind::UpstreamFailure && case.gateways.is_front(case.gateways.root(root.client.ip())) {
        verdict
            .summary
            .push_str("; paired with no client's error: a request of the gateway's own, one that it made good, or one told by another attempt");
    } else if kind == Kind::UpstreamFailure {
        likely_status = product::likely_statuses(asker.as_ref(), verdict.cause, root.status());
        if let Some(answer) = product::likely_answer(asker.as_ref(), verdict.cause, root.status()) {
            verdict.summary.push_str(&format!("; {answer}"));
        }
    }
    let log_lines = Product::ALL
        .iter()
        .filter_map(|known| Some((*known, product::log_line(*known, verdict.cause, verdict.detail, status)?)))
        .collect();
    Incident {
        id: 0,
        kind,
        status,
        cause: verdict.cause,
        detail: verdict.detail,
        grade: verdict.grade,
        summary: verdict.summary,
        why: verdict.why,
        time,
        downstream,
        attempts,
        product,
        likely_status,
        log_lines,
        evidence: verdict.evidence,
        ruled_out: verdict.ruled_out,
        candidates: verdict.candidates,
        not_known: verdict.not_known,
        episode: None,
        advice: Vec::new(),
        ladder,
    }
}

/// Where the gateway's answer begins, or its close without one.
fn answer(case: &Case<'_>) -> Option<Moment> {
    let given_up = case.root.exchange.reset_by(Side::Server).map(|(moment, _)| moment);
    let closed = || given_up.or(case.root.conversation.close(Side::Server).map(|(moment, ..)| moment));
    case.root.exchange.response_start.as_ref().map(|start| start.moment).or_else(closed)
}

/// The client's exchange. What was asked inside TLS is what the gateway then asked of an upstream; where it sent no request
/// either, there is nothing of the client's to tell.
fn downstream(case: &Case<'_>, product: Option<Product>) -> Option<Downstream> {
    let exchange = case.root.exchange;
    let encrypted = exchange.veiled.is_some();
    let passed_on = || {
        let attempts = case.attempts.iter().filter(|attempt| encrypted && attempt.hop == 0);
        attempts.rev().find_map(|attempt| attempt.party.exchange.request.as_ref())
    };
    let request = exchange.request.as_ref().or_else(passed_on);
    if encrypted && request.is_none() {
        return None;
    }
    let response = answer(case);
    let named = exchange.response.as_ref().and_then(|response| response.server().map(Into::into));
    Some(Downstream {
        client: exchange.client,
        gateway: exchange.server,
        stream: exchange.key.connection.0,
        exchange: exchange.key.number,
        encrypted,
        method: request.map(|request| request.method().into()),
        target: request.map(|request| request.target().into()),
        host: request.and_then(|request| request.host().map(Into::into)),
        status: exchange.status(),
        responder: named.or_else(|| product.map(|product| product.id().into())),
        request: if encrypted { Some(exchange.started) } else { request.map(|request| request.first) },
        response,
        wait: response.and_then(|response| exchange.waited(response)),
    })
}

/// The attempts, and behind each exchange that waited for a lookup in vain, that lookup.
fn attempts(case: &Case<'_>, judged: &[Judged<'_>], verdict: &Verdict) -> Vec<incident::Attempt> {
    let waited = |exchange: &Exchange, verdict: Option<&Verdict>, hop| {
        let verdict = verdict.filter(|verdict| verdict.cause.phase() == Phase::Resolve)?;
        Some(resolve::attempt(resolve::resolution(case, exchange)?, resolve::given(exchange)?, verdict, hop))
    };
    let mut attempts: Vec<incident::Attempt> = waited(case.root.exchange, Some(verdict), 0).into_iter().collect();
    attempts.extend(neighbour::attempt(case, verdict));
    for judged in judged {
        attempts.push(attempt(judged));
        attempts.extend(waited(judged.attempt.party.exchange, judged.verdict.as_ref(), judged.attempt.hop + 1));
    }
    attempts
}

fn attempt(judged: &Judged<'_>) -> incident::Attempt {
    let Party { exchange, conversation } = judged.attempt.party;
    let first = if exchange.reused { exchange.started } else { conversation.opened };
    let ends = [
        exchange.last_response,
        conversation.fin(Side::Server).map(|(moment, _)| moment),
        conversation.fin(Side::Client).map(|(moment, _)| moment),
        conversation.resets.last().map(|(moment, _)| *moment),
        exchange.request_end.map(|(moment, _)| moment),
        exchange.acknowledged,
    ];
    let last = ends.into_iter().flatten().chain([first, exchange.started]).max().unwrap_or(first);
    incident::Attempt {
        gateway: exchange.client,
        upstream: Some(exchange.server),
        name: None,
        resolver: None,
        stream: Some(exchange.key.connection.0),
        exchange: exchange.key.number,
        reused: exchange.reused && exchange.key.number > 0,
        protocol: match &exchange.request {
            Some(_) if conversation.multiplexed.is_some() => "http/2",
            Some(request) if request.protocol != Protocol::Http => request.protocol.id(),
            Some(request) if request.minor_version == 0 => "http/1.0",
            Some(_) => "http/1.1",
            None if exchange.veiled.is_some() || conversation.handshake.is_some() => "tls",
            None => "tcp",
        },
        method: exchange.request.as_ref().map(|request| request.method().into()),
        target: exchange.request.as_ref().map(|request| request.target().into()),
        status: exchange.status(),
        outcome: judged.verdict.as_ref().map(|verdict| verdict.cause),
        grade: judged.verdict.as_ref().map_or(Grade::Proven, |verdict| verdict.grade),
        pairing: judged.attempt.pairing,
        idle: exchange.idle,
        request: exchange.request.as_ref().map(|request| request.first),
        first,
        last,
        hop: judged.attempt.hop,
    }
}
