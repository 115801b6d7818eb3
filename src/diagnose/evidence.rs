//! The questions that the rules ask of an attempt, and the verdict that they build from the answers.

use std::time::Duration;

use crate::correlate::conversation::{Conversation, Exchange};
use crate::correlate::neighbours::Search;
use crate::correlate::{Case, Pairing, Party};
use crate::diagnose::cause::Cause;
use crate::diagnose::endpoints::Speaks;
use crate::diagnose::incident::{Actor, Candidate, Evidence, Grade, Leg, RuledOut};
use crate::diagnose::product::{self, Product};
use crate::event::{Closing, DefectKind, Ending, Frame, GapJudged, Moment, Side};
use crate::time::Timestamp;

/// An attempt in the light of its case.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The exchange; number 0 where no request was sent.
    pub exchange: &'a Exchange,
    /// Its connection.
    pub conversation: &'a Conversation,
    /// How sure it is that it belongs to the case.
    pub pairing: Pairing,
    /// What the gateway gave to its own client, and when; `None` where that is not visible.
    pub given: Option<Given>,
    /// What it gave inside TLS, as seen from outside, where this is its last attempt.
    pub outside: Option<Outside>,
    /// The gateway's product, where it is known.
    pub product: Option<Product>,
    /// What the endpoint was seen to speak, with whomever.
    pub endpoint: Speaks,
    /// Whether the upstream's host speaks TLS at its endpoints, and at none of them anything in clear, as far as was seen.
    pub among_tls: bool,
    /// Whether it began a TLS handshake with somebody who asked for the same host.
    pub serves_host: bool,
    /// Whether the capture was taken on the upstream's own host, and not on the gateway's.
    pub at_upstream: bool,
    /// The search for the upstream's address on the gateway's link that nobody answered while it tried to connect.
    pub sought: Option<Search>,
    /// Whether another connection to the same endpoint was accepted while this one's SYN waited.
    pub others_connected: bool,
}

/// What a gateway gave to its client.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// The status; `None` for a close without one.
    pub status: Option<u16>,
    /// Whether the response was whole.
    pub whole: bool,
    /// Octets of it, as far as they were seen.
    pub octets: Option<u64>,
    /// Of these, those of its content.
    pub content: Option<u64>,
    /// Whether it is a page that gateways write when they fail.
    pub own_page: bool,
    /// What of it is no HTTP: whoever passes that on did not write it.
    pub defect: Option<DefectKind>,
    /// Nothing yet: the gateway made another attempt.
    pub retried: bool,
    /// When it began, or the connection was closed.
    pub at: Moment,
    /// When the client closed, if it did before the response was whole.
    pub client_closed: Option<Moment>,
    /// When the gateway closed right behind the octets of a response of unknown length, and whether both sides had said that
    /// they keep the connection.
    pub broken_off: Option<(Moment, bool)>,
}

/// What a gateway gave to its client inside TLS, without keys.
#[derive(Clone, Copy, Debug)]
pub enum Outside {
    /// Octets of an answer, so many.
    Answered(u64),
    /// It closed without an answer.
    Closed,
}

impl Outside {
    /// What was given on a leg; `None` where nothing was, so far.
    #[must_use]
    pub fn of(Party { exchange, conversation }: Party<'_>) -> Option<Self> {
        exchange.veiled?;
        match &exchange.response_start {
            Some(start) => Some(Self::Answered(exchange.response_octets().unwrap_or(start.octets.into()))),
            None => conversation.ended(Side::Server).map(|_| Self::Closed),
        }
    }
}

/// How much of a request something acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Nothing of it.
    Nothing,
    /// A part.
    Part,
    /// All that was sent.
    Whole,
    /// No acknowledgement, or the request's place is not known.
    Unknown,
}

impl<'a> Attempt<'a> {
    /// Whether the endpoint was ever seen to answer a request as this one was sent: in clear, or inside of TLS.
    #[must_use]
    pub fn endpoint_responds(&self) -> bool {
        if self.conversation.is_veiled() { self.endpoint.inside } else { self.endpoint.clear }
    }

    /// The attempt as a party.
    #[must_use]
    pub fn party(&self) -> Party<'a> {
        Party { exchange: self.exchange, conversation: self.conversation }
    }

    /// First and last offset of the request, as far as it was sent when `closing` was seen.
    #[must_use]
    pub fn request_span(&self, closing: &Closing) -> Option<(u64, u64)> {
        let start = self.exchange.request_start?;
        let sent = if closing.by == Side::Server { closing.peer_sent } else { closing.at };
        let end = self.exchange.request_end_offset().map_or(sent, |end| end.min(sent.max(start)));
        Some((start, end))
    }

    /// How much of the request a server's FIN or RST acknowledges.
    #[must_use]
    pub fn coverage(&self, closing: &Closing) -> Coverage {
        match (closing.acknowledged, self.request_span(closing)) {
            (Some(ack), Some((start, _))) if ack <= start => Coverage::Nothing,
            (Some(ack), Some((_, end))) if ack >= end => Coverage::Whole,
            (Some(_), Some(_)) => Coverage::Part,
            _ => Coverage::Unknown,
        }
    }

    /// The server's first FIN or RST, be it before the exchange began; `true` for a RST.
    #[must_use]
    pub fn server_close(&self) -> Option<(Moment, Closing, bool)> {
        self.conversation.close(Side::Server)
    }

    /// The gateway's first FIN or RST.
    #[must_use]
    pub fn gateway_close(&self) -> Option<(Moment, Closing, bool)> {
        self.conversation.close(Side::Client)
    }

    /// Whether the gateway closed before the server did anything of the kind.
    #[must_use]
    pub fn gateway_closed_first(&self) -> bool {
        match (self.conversation.ended(Side::Client), self.conversation.ended(Side::Server)) {
            (Some(gateway), Some(server)) => gateway < server,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Repetitions of the request's octets before `until`: how many, and the first one.
    #[must_use]
    pub fn repeats_before(&self, until: Timestamp) -> (usize, Option<Moment>) {
        let start = self.exchange.request_start.unwrap_or(0);
        let end = self.exchange.request_end_offset().unwrap_or(u64::MAX);
        let of_request = self.conversation.repeats.iter().filter(|repeat| {
            repeat.sender == Side::Client
                && repeat.offset < end
                && repeat.offset + repeat.length > start
                && repeat.moment.at <= until
                && repeat.moment > self.exchange.started
        });
        let first = of_request.clone().next().map(|repeat| repeat.moment);
        (of_request.count(), first)
    }

    /// Whether octets from an offset on were repeated before `until`.
    #[must_use]
    pub fn repeats_from(&self, offset: u64, until: Timestamp) -> bool {
        let mut repeats = self.conversation.repeats.iter();
        repeats.any(|repeat| repeat.sender == Side::Client && repeat.offset >= offset && repeat.moment.at <= until)
    }

    /// Whether the response began before the gateway had given up.
    #[must_use]
    pub fn answered_in_time(&self) -> bool {
        let Some(start) = &self.exchange.response_start else { return false };
        let closed = self.gateway_close().map(|(moment, ..)| moment);
        let given = self.given.filter(|given| given.status.is_none_or(|status| status >= 500)).map(|given| given.at);
        closed.into_iter().chain(given).all(|end| start.moment < end)
    }

    /// Whether the answer was not passed on inside TLS: nothing was, or something of another length.
    #[must_use]
    pub fn was_lost_inside(&self) -> bool {
        let got = self.exchange.response_octets();
        self.outside.is_some_and(|given| match given {
            Outside::Closed => true,
            Outside::Answered(octets) => got.is_some_and(|got| octets.abs_diff(got) > USUAL_FIELDS),
        })
    }

    /// When the last octet of the request was sent, as far as seen.
    #[must_use]
    pub fn request_sent(&self) -> Moment {
        self.exchange.request_end.map_or(self.exchange.ready(), |(moment, _)| moment)
    }

    /// Octets of response seen after its first octet.
    #[must_use]
    pub fn response_octets(&self) -> u64 {
        let Some(start) = &self.exchange.response_start else { return 0 };
        let sent = self
            .gateway_close()
            .map(|(_, closing, _)| closing.peer_sent)
            .into_iter()
            .chain(self.server_close().map(|(_, closing, _)| closing.at))
            .chain(self.exchange.response_end.map(|end| end.end))
            .max();
        sent.unwrap_or(0).saturating_sub(start.at)
    }

    /// Octets of the response's header section, where it is complete.
    #[must_use]
    pub fn head_octets(&self) -> Option<u64> {
        self.exchange.response.as_ref().map(|response| response.length.into())
    }

    /// Whether the gateway passed the response's header section on to its client.
    #[must_use]
    pub fn was_passed_on(&self) -> bool {
        match (self.given, self.exchange.status()) {
            (Some(given), Some(status)) => given.status == Some(status),
            _ => false,
        }
    }

    /// Whether the snaplen cut octets of a side's message off: that they were sent, when, and how many is known all the same.
    #[must_use]
    pub fn is_snapped(&self, sender: Side) -> bool {
        self.has_gap(sender, |judged| judged == GapJudged::Snaplen)
    }

    /// Whether octets of a side's message are missing for a reason that counts.
    pub(super) fn has_gap(&self, sender: Side, counts: fn(GapJudged) -> bool) -> bool {
        let from = match sender {
            Side::Client => self.exchange.request_start.unwrap_or(0),
            Side::Server => self.exchange.response_start.as_ref().map_or(0, |start| start.at),
        };
        let mut gaps = self.conversation.gaps.iter();
        gaps.any(|gap| gap.sender == sender && counts(gap.judged) && gap.offset + gap.length > from)
    }

    /// Whether the connection's beginning is in the capture.
    #[must_use]
    pub fn has_beginning(&self) -> bool {
        self.conversation.syn_ack.is_some()
    }

    /// The round trip, with room for the capture's own delays; a generous guess where the handshake was not seen.
    #[must_use]
    pub fn round_trip(&self) -> (Duration, bool) {
        match self.conversation.rtt() {
            Some(rtt) => (rtt + Duration::from_millis(5), true),
            None => (Duration::from_millis(50), false),
        }
    }
}

/// What a rule says of an attempt, or the case says of itself.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// More precisely.
    pub detail: Option<&'static str>,
    /// How sure.
    pub grade: Grade,
    /// Half a line.
    pub why: String,
    /// A sentence.
    pub summary: String,
    /// The frames that prove it.
    pub evidence: Vec<Evidence>,
    /// What is excluded.
    pub ruled_out: Vec<RuledOut>,
    /// What fits as well.
    pub candidates: Vec<Candidate>,
    /// What the packets do not tell.
    pub not_known: Vec<String>,
}

impl Verdict {
    /// A verdict.
    #[must_use]
    pub fn new(cause: Cause, grade: Grade, why: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            cause,
            detail: None,
            grade,
            why: why.into(),
            summary: summary.into(),
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            candidates: Vec::new(),
            not_known: Vec::new(),
        }
    }

    /// With a detail.
    #[must_use]
    pub fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// With a frame of the upstream leg that proves it.
    #[must_use]
    pub fn proof(self, moment: Moment, from: Actor, what: impl Into<String>) -> Self {
        self.proof_on(Leg::Upstream, moment, from, what)
    }

    /// With a frame that proves it.
    #[must_use]
    pub fn proof_on(mut self, leg: Leg, moment: Moment, from: Actor, what: impl Into<String>) -> Self {
        self.evidence.push(Evidence { moment, leg, from, what: what.into() });
        self
    }

    /// With a cause that is excluded.
    #[must_use]
    pub fn rules_out(mut self, cause: Cause, because: impl Into<String>, frame: Option<Frame>) -> Self {
        self.ruled_out.push(RuledOut { cause, because: because.into(), frame });
        self
    }

    /// With something that fits as well.
    #[must_use]
    pub fn or_else(mut self, cause: Option<Cause>, what: impl Into<String>) -> Self {
        self.candidates.push(Candidate { cause, what: what.into() });
        self
    }

    /// With something that the packets do not tell.
    #[must_use]
    pub fn unknown(mut self, what: impl Into<String>) -> Self {
        self.not_known.push(what.into());
        self
    }

    /// No surer than `grade`, because of `why`.
    pub fn lower(&mut self, grade: Grade, why: impl Into<String>) {
        if self.grade > grade {
            self.grade = grade;
        }
        self.not_known.push(why.into());
    }
}

/// A span as people say it.
#[must_use]
pub fn span(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..99_950 => format!("{:.1} ms", micros as f64 / 1e3),
        99_950..999_500 => format!("{} ms", (micros + 500) / 1_000),
        _ => format!("{:.3} s", micros as f64 / 1e6),
    }
}

/// What a case's gateway gave to its client.
#[must_use]
pub fn given(case: &Case<'_>) -> Option<Given> {
    if case.role == crate::correlate::Role::Upstream {
        return None;
    }
    let mut given = given_on(case.root)?;
    given.client_closed = given.client_closed.or_else(|| dropped_for_client(case));
    Some(given)
}

/// The client's FIN, where the gateway took it for the end: it let go of the upstream before that had answered, and whatever
/// it sent to its client then is not an answer.
fn dropped_for_client(case: &Case<'_>) -> Option<Moment> {
    let Party { exchange, conversation } = case.root;
    let (fin, _) = conversation.fin(Side::Client)?;
    let began = exchange.response_start.as_ref()?.moment;
    let last = case.attempts.iter().rfind(|attempt| attempt.hop == 0)?.party;
    let (dropped, ..) = last.conversation.close(Side::Client)?;
    let upstream_silent = last.exchange.response_start.is_none()
        && last.conversation.close(Side::Server).is_none_or(|(close, ..)| close > dropped);
    let in_order = exchange.started < fin && fin < dropped && fin < began;
    // Who gave up for want of an answer says so to its client.
    let error = exchange.status().is_some_and(|status| status >= 500);
    (in_order && upstream_silent && !error && dropped.at.since(fin.at) <= FOLLOWS).then_some(fin)
}

/// What was given on a leg.
#[must_use]
pub fn given_on(party: Party<'_>) -> Option<Given> {
    let Party { exchange, conversation } = party;
    let began = exchange.response_start.as_ref().map(|start| start.moment);
    let given_up = |side| exchange.reset_by(side).map(|(moment, _)| moment);
    let closed = given_up(Side::Server).or(conversation.close(Side::Server).map(|(moment, ..)| moment));
    let at = began.or(closed).or(exchange.over)?;
    let has_all = party.client_has_all();
    let whole = exchange.is_answered() || has_all;
    // A stream that was given up is as good as a connection that was.
    let client = given_up(Side::Client).or(conversation.ended(Side::Client));
    // A client that closed for good answers what still comes with a RST, or has said so inside of TLS; one that merely stopped
    // sending reads on.
    let went_away = exchange.stream_reset().is_some()
        || conversation.reset(Side::Client).is_some()
        || client == conversation.notified(Side::Client);
    let defective = exchange.defect.map(|(moment, _)| moment);
    // A client that was sent what the capture does not hold may have had its answer.
    let missing = conversation.gaps.iter().any(|gap| {
        let sent_unseen = match gap.judged {
            GapJudged::Capture | GapJudged::Unknown => true,
            // Of what the snaplen cuts, the beginning is there.
            GapJudged::Snaplen => began.is_none(),
            GapJudged::Network => false,
        };
        gap.sender == Side::Server && sent_unseen && gap.moment >= exchange.started
    });
    let client_closed = client.filter(|_| !missing && !is_unread(party) && !has_all).filter(|client| {
        let before = |moment: Moment| *client < moment;
        let unanswered = match exchange.response_end {
            Some(end) if whole => went_away && before(end.moment) && began.is_none_or(before),
            _ => given_up(Side::Server).or(conversation.ended(Side::Server)).is_none_or(before),
        };
        unanswered && defective.is_none_or(before) && *client > exchange.started
    });
    Some(Given {
        status: exchange.status(),
        whole: whole || exchange.status().is_some() && lacks_octets(party),
        octets: exchange.response_octets(),
        content: exchange.response_end.map(|end| end.content),
        own_page: exchange.response.as_ref().is_some_and(product::is_own_page),
        defect: exchange.defect.filter(|(_, defect)| defect.sender == Side::Server).map(|(_, defect)| defect.kind),
        retried: false,
        at,
        client_closed,
        broken_off: broken_off(party),
    })
}

/// Whether the capture lacks octets of a response: it may well have been whole.
fn lacks_octets(Party { exchange, conversation }: Party<'_>) -> bool {
    let Some(start) = &exchange.response_start else { return false };
    conversation.gaps.iter().any(|gap| {
        let lacks = matches!(gap.judged, GapJudged::Capture | GapJudged::Unknown);
        gap.sender == Side::Server && lacks && gap.offset + gap.length > start.at
    })
}

/// Whether a response began with a header section so long that it was not read to its end: how it went on is not known.
#[must_use]
pub fn is_unread(Party { exchange, conversation }: Party<'_>) -> bool {
    let start = exchange.response_start.as_ref().filter(|_| exchange.response.is_none());
    let sent = conversation.first_close().map(|(_, closing, _)| match closing.by {
        Side::Client => closing.peer_sent,
        Side::Server => closing.at,
    });
    start.zip(sent).is_some_and(|(start, sent)| sent.saturating_sub(start.at) >= UNREAD)
}

/// When the server closed right behind the octets of a response whose length is not known, before its client did; and
/// whether both had said that they keep the connection.
fn broken_off(Party { exchange, conversation }: Party<'_>) -> Option<(Moment, bool)> {
    let is_last = conversation.highest == exchange.key.number;
    let end = exchange.response_end.filter(|end| end.how == Ending::Unmeasured && is_last)?;
    let (closed, closing, _) = conversation.first_close()?;
    let at_once = closed >= end.moment && closed.at.since(end.moment.at) <= AT_ONCE;
    let promised = exchange.response.as_ref().is_some_and(|response| response.persistent)
        && exchange.request.as_ref().is_some_and(|request| request.persistent && !request.cut);
    (closing.by == Side::Server && at_once).then_some((closed, promised))
}

/// No client that gives up waiting does so in the middle of a header section of this length.
const UNREAD: u64 = 64 << 10;
/// Who closes this soon after its last octets does so because of what these are.
const AT_ONCE: Duration = Duration::from_millis(50);
/// A gateway that ends a request because its client has left does so within this span.
const FOLLOWS: Duration = Duration::from_millis(250);
/// Octets by which the fields that a gateway adds or takes away usually change a header section.
const USUAL_FIELDS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_rounded_and_not_cut() {
        let said = |micros| span(Duration::from_micros(micros));
        assert_eq!(
            [999, 1_000, 99_949, 99_950, 200_700, 999_499, 999_500].map(said),
            ["999 µs", "1.0 ms", "99.9 ms", "100 ms", "201 ms", "999 ms", "1.000 s"]
        );
    }
}
