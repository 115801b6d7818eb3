//! An incident as an object of the JSON report: what serde writes, borrowed from the incident.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Attempt, Candidate, Downstream, Episode, Evidence, Incident, RuledOut};
use crate::diagnose::product::Product;
use crate::event::{Endpoint, Frame, Moment};
use crate::report::Style;
use crate::time::Timestamp;

/// One incident.
#[derive(Serialize)]
pub(super) struct IncidentRecord<'a> {
    id: u32,
    kind: &'static str,
    status: Option<u16>,
    cause: Cause,
    detail: Option<&'static str>,
    phase: &'static str,
    proxy_status: Option<&'static str>,
    grade: &'static str,
    summary: Cow<'a, str>,
    why: Cow<'a, str>,
    time: Time,
    product: Option<&'static str>,
    #[serde(skip_serializing_if = "LikelyStatus::is_empty")]
    likely_status: LikelyStatus<'a>,
    downstream: Option<DownstreamRecord<'a>>,
    attempts: Vec<AttemptRecord<'a>>,
    evidence: Vec<EvidenceRecord<'a>>,
    ruled_out: Vec<RuledOutRecord<'a>>,
    candidates: Vec<CandidateRecord<'a>>,
    not_known: Vec<Cow<'a, str>>,
    episode: Option<u32>,
    log_lines: LogLines<'a>,
    advice: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct DownstreamRecord<'a> {
    client: Endpoint,
    gateway: Endpoint,
    stream: u64,
    exchange: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    encrypted: bool,
    method: Option<&'a str>,
    target: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    status: Option<u16>,
    responder: Option<&'a str>,
    request_frame: Option<FrameRecord>,
    response_frame: Option<FrameRecord>,
    wait_us: Option<u64>,
}

#[derive(Serialize)]
struct AttemptRecord<'a> {
    gateway: Endpoint,
    upstream: Option<Endpoint>,
    name: Option<Cow<'a, str>>,
    resolver: Option<Endpoint>,
    stream: Option<u64>,
    exchange: u32,
    reused: bool,
    protocol: &'static str,
    method: Option<&'a str>,
    target: Option<Cow<'a, str>>,
    status: Option<u16>,
    outcome: Option<Cause>,
    grade: &'static str,
    pairing: &'static str,
    idle_us: Option<u64>,
    request_frame: Option<FrameRecord>,
    first_frame: FrameRecord,
    last_frame: FrameRecord,
    hop: u8,
}

#[derive(Serialize)]
struct EvidenceRecord<'a> {
    frame: FrameRecord,
    time: Time,
    leg: &'static str,
    from: &'static str,
    what: Cow<'a, str>,
}

#[derive(Serialize)]
struct RuledOutRecord<'a> {
    cause: Cause,
    because: Cow<'a, str>,
    frame: Option<FrameRecord>,
}

#[derive(Serialize)]
struct CandidateRecord<'a> {
    cause: Option<Cause>,
    what: Cow<'a, str>,
}

/// An episode.
#[derive(Serialize)]
pub(super) struct EpisodeRecord<'a> {
    id: u32,
    kind: &'static str,
    upstream: Option<Endpoint>,
    upstreams: &'a [Endpoint],
    first: Time,
    last: Time,
    served_again: Option<Time>,
    incidents: &'a [u32],
    summary: Cow<'a, str>,
}

/// A frame: its number in its file, and the file where there are several.
#[derive(Serialize)]
pub(super) struct FrameRecord {
    n: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<u16>,
}

impl FrameRecord {
    pub(super) fn new(frame: Frame, style: &Style) -> Self {
        Self { n: frame.number(), file: style.several_inputs.then(|| frame.input()) }
    }

    pub(super) fn of(moment: Option<Moment>, style: &Style) -> Option<Self> {
        moment.map(|moment| Self::new(moment.frame, style))
    }
}

/// An instant as RFC 3339 has it.
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct LogLines<'a> {
    lines: &'a [(Product, &'static str)],
    style: &'a Style,
}

impl Serialize for LogLines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.lines.iter().map(|(product, line)| (product.id(), self.style.cut_prose(line))))
    }
}

/// What the client most likely got, by product.
struct LikelyStatus<'a>(&'a [(Product, u16)]);

impl LikelyStatus<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for LikelyStatus<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(product, status)| (product.id(), status)))
    }
}

/// A span in whole microseconds.
pub(super) fn us(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The object of an incident.
pub(super) fn incident<'a>(incident: &'a Incident, style: &'a Style) -> IncidentRecord<'a> {
    IncidentRecord {
        id: incident.id,
        kind: incident.kind.id(),
        status: incident.status,
        cause: incident.cause,
        detail: incident.detail,
        phase: incident.cause.phase().id(),
        proxy_status: incident.cause.proxy_status(),
        grade: incident.grade.id(),
        summary: style.cut_prose(&incident.summary),
        why: style.cut_prose(&incident.why),
        time: Time(incident.time),
        product: incident.product.map(Product::id),
        likely_status: LikelyStatus(&incident.likely_status),
        downstream: incident.downstream.as_ref().map(|leg| downstream(leg, style)),
        attempts: incident.attempts.iter().map(|one| attempt(one, style)).collect(),
        evidence: incident.evidence.iter().map(|one| evidence(one, style)).collect(),
        ruled_out: incident.ruled_out.iter().map(|one| ruled_out(one, style)).collect(),
        candidates: incident.candidates.iter().map(|one| candidate(one, style)).collect(),
        not_known: sentences(&incident.not_known, style),
        episode: incident.episode,
        log_lines: LogLines { lines: &incident.log_lines, style },
        advice: sentences(&incident.advice, style),
    }
}

/// The object of an episode.
pub(super) fn episode<'a>(episode: &'a Episode, style: &Style) -> EpisodeRecord<'a> {
    EpisodeRecord {
        id: episode.id,
        kind: episode.kind,
        upstream: episode.upstream,
        upstreams: &episode.upstreams,
        first: Time(episode.first),
        last: Time(episode.last),
        served_again: episode.served_again.map(Time),
        incidents: &episode.incidents,
        summary: style.cut_prose(&episode.summary),
    }
}

/// Sentences, without the secrets that they quote.
pub(super) fn sentences<'a>(sentences: &'a [String], style: &Style) -> Vec<Cow<'a, str>> {
    sentences.iter().map(|sentence| style.cut_prose(sentence)).collect()
}

fn downstream<'a>(leg: &'a Downstream, style: &Style) -> DownstreamRecord<'a> {
    DownstreamRecord {
        client: leg.client,
        gateway: leg.gateway,
        stream: leg.stream,
        exchange: leg.exchange,
        encrypted: leg.encrypted,
        method: leg.method.as_deref(),
        target: leg.target.as_deref().map(|target| style.cut_target(target)),
        host: leg.host.as_deref().map(|host| style.cut_host(host)),
        status: leg.status,
        responder: leg.responder.as_deref(),
        request_frame: FrameRecord::of(leg.request, style),
        response_frame: FrameRecord::of(leg.response, style),
        wait_us: leg.wait.map(us),
    }
}

fn attempt<'a>(attempt: &'a Attempt, style: &Style) -> AttemptRecord<'a> {
    AttemptRecord {
        gateway: attempt.gateway,
        upstream: attempt.upstream,
        name: attempt.name.as_deref().map(|name| style.cut_host(name)),
        resolver: attempt.resolver,
        stream: attempt.stream,
        exchange: attempt.exchange,
        reused: attempt.reused,
        protocol: attempt.protocol,
        method: attempt.method.as_deref(),
        target: attempt.target.as_deref().map(|target| style.cut_target(target)),
        status: attempt.status,
        outcome: attempt.outcome,
        grade: attempt.grade.id(),
        pairing: attempt.pairing.id(),
        idle_us: attempt.idle.map(us),
        request_frame: FrameRecord::of(attempt.request, style),
        first_frame: FrameRecord::new(attempt.first.frame, style),
        last_frame: FrameRecord::new(attempt.last.frame, style),
        hop: attempt.hop,
    }
}

fn evidence<'a>(evidence: &'a Evidence, style: &Style) -> EvidenceRecord<'a> {
    EvidenceRecord {
        frame: FrameRecord::new(evidence.moment.frame, style),
        time: Time(evidence.moment.at),
        leg: evidence.leg.id(),
        from: evidence.from.id(),
        what: style.cut_prose(&evidence.what),
    }
}

fn ruled_out<'a>(ruled_out: &'a RuledOut, style: &Style) -> RuledOutRecord<'a> {
    RuledOutRecord {
        cause: ruled_out.cause,
        because: style.cut_prose(&ruled_out.because),
        frame: ruled_out.frame.map(|frame| FrameRecord::new(frame, style)),
    }
}

fn candidate<'a>(candidate: &'a Candidate, style: &Style) -> CandidateRecord<'a> {
    CandidateRecord { cause: candidate.cause, what: style.cut_prose(&candidate.what) }
}
