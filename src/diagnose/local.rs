//! Phases client and none: the client gave up, or the gateway answered by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::conversation::Exchange;
use crate::correlate::served::{SHORTEST_SILENCE, silence};
use crate::correlate::{Case, Pairing, Party};
use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{self, Given, Verdict, span};
use crate::diagnose::http2;
use crate::diagnose::incident::{Actor, Grade, Incident, Leg};
use crate::diagnose::pools::Outage;
use crate::event::{Ending, Endpoint, GapJudged, Moment, Side};
use crate::time::Timestamp;

/// A recent failure of an upstream, by which a gateway may have taken it out of service.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The frame that shows it.
    pub moment: Moment,
    /// Which upstream.
    pub upstream: Endpoint,
    /// How.
    pub cause: Cause,
    /// Whether it was a request of the gateway's own: a health probe.
    pub probe: bool,
    /// The status that the upstream answered, if it did.
    pub status: Option<u16>,
}

/// The client closed before it had its answer. `failed_before` is when an attempt had failed by then, if one had.
#[must_use]
pub fn client_abort(case: &Case<'_>, given: Given, failed_before: Option<Moment>) -> Option<Verdict> {
    let closed = given.client_closed?;
    if failed_before.is_some_and(|failed| failed < closed) {
        return None;
    }
    Some(left(case, closed))
}

/// The client left before it had its answer.
#[must_use]
pub fn left(case: &Case<'_>, closed: Moment) -> Verdict {
    let Party { exchange, conversation } = case.root;
    let reset = conversation.fin(Side::Client).is_none_or(|(fin, _)| fin > closed);
    let (how, detail) = match reset {
        _ if exchange.reset_by(Side::Client).is_some_and(|(moment, _)| moment == closed) => {
            ("RST_STREAM", "rst_stream")
        }
        _ if conversation.notified(Side::Client) == Some(closed) => ("close_notify", "close_notify"),
        true => ("RST", "rst"),
        false => ("FIN", "fin"),
    };
    let waited = closed.at.since(exchange.request_end.map_or(exchange.started, |(end, _)| end).at);
    let paired = case.attempts.iter().all(|attempt| attempt.pairing == Pairing::Certain);
    let seen = paired && !case.attempts.is_empty() && conversation.syn_ack.is_some() && !conversation.is_incomplete();
    let mut verdict = Verdict::new(
        Cause::ClientAbort,
        if seen { Grade::Proven } else { Grade::Consistent },
        format!("client's {how} {} after its request", span(waited)),
        format!("the client closed {} after its request, before it had the answer", span(waited)),
    )
    .detail(detail)
    .proof_on(Leg::Downstream, exchange.started, Actor::Client, "the request begins")
    .proof_on(Leg::Downstream, closed, Actor::Client, format!("{how}: the client gives up"));
    for attempt in &case.attempts {
        let after = attempt.party.conversation.close(Side::Client).filter(|(moment, ..)| *moment > closed);
        if let Some((moment, ..)) = after {
            verdict = verdict.proof(moment, Actor::Gateway, "the gateway closes the upstream leg after it");
        }
    }
    if !seen {
        verdict = verdict.or_else(None, "the upstream had failed before, on a leg that cannot be seen");
    }
    verdict.unknown("the client's own time limit")
}

/// Whether a request got no answer, and it was the gateway that closed.
#[must_use]
pub fn closed_without_answer(case: &Case<'_>) -> bool {
    let Party { exchange, conversation } = case.root;
    let missing = conversation
        .gaps
        .iter()
        .any(|gap| gap.sender == Side::Server && gap.moment >= exchange.started && gap.judged != GapJudged::Network);
    if exchange.request_head.is_none() || missing || evidence::is_unread(case.root) {
        return false;
    }
    // What stands where a response must, and is none, is no answer either.
    let left = || {
        exchange.defect.is_some() || exchange.response_start.is_some() || {
            let closed = conversation.close(Side::Server);
            // A close that crossed the request on an idle connection is the client's race with the gateway.
            closed.is_some_and(|(moment, closing, _)| {
                let unread = exchange.request_start.zip(closing.acknowledged).is_some_and(|(start, ack)| ack <= start);
                moment > exchange.started && !unread
            })
        }
    };
    http2::left_without_answer(case).unwrap_or_else(left)
}

/// Nothing was sent to an upstream for this request.
#[must_use]
pub fn nothing_sent(case: &Case<'_>, outage: &Outage, hold_down: Duration) -> Verdict {
    let Party { exchange, .. } = case.root;
    let answer = exchange.response_start.as_ref().map(|start| start.moment).or(exchange.over);
    let at = answer.unwrap_or(exchange.started);
    if case.partial {
        let verdict = Verdict::new(
            Cause::Unknown,
            Grade::Undetermined,
            "not all connections were followed (--max-cpu)",
            "there was no time to follow all connections: whether the gateway sent this request, and what came of it, cannot be seen",
        );
        return verdict.unknown("what happened on connections that --max-cpu left out");
    }
    if !case.upstream_visible {
        let mut verdict = Verdict::new(
            Cause::UpstreamNotCaptured,
            Grade::Undetermined,
            "the upstream leg is not in this capture",
            "the gateway's other leg is not in this capture: what it tried, and how that failed, cannot be seen",
        );
        if let Some(answer) = answer {
            verdict = verdict.proof_on(Leg::Downstream, answer, Actor::Gateway, "the gateway's answer");
        }
        return verdict
            .unknown("everything about the upstream")
            .or_else(None, "the filter leaves it out: on the gateway's host, `tcpdump -i any -s 0 -w both.pcap 'tcp or arp or icmp or icmp6 or port 53'`, and read that")
            .or_else(
                None,
                "another interface or network namespace carries it: capture with -i any in the gateway's namespace",
            )
            .or_else(None, "the upstream is a unix socket, which has no packets");
    }
    let waited = at.at.since(exchange.request_end.map_or(exchange.started, |(end, _)| end).at);
    if case.upstream_opaque {
        let mut verdict = Verdict::new(
            Cause::Unknown,
            Grade::Undetermined,
            "the upstream leg is encrypted or not HTTP/1",
            "this gateway's connections to upstreams carry something that is not read: whether it sent this request, and what came of it, cannot be seen",
        );
        if let Some(answer) = answer {
            verdict = verdict.proof_on(Leg::Downstream, answer, Actor::Gateway, "the gateway's answer");
        }
        return verdict
            .or_else(Some(Cause::NoUpstreamAttempt), "the gateway answered by itself")
            .unknown("what went on inside the connections to the upstreams");
    }
    // Who has no upstream left says so at once.
    let error = exchange.status().is_some_and(|status| status >= 500);
    let last = outage.failures.last().filter(|_| error && waited <= AT_ONCE && outage.is_complete());
    let mut verdict = match last {
        Some(last) => {
            let (counted, within) = (counted(&outage.failures), hold_down.as_secs());
            let mut verdict = Verdict::new(
                Cause::NoUpstreamAttempt,
                Grade::Consistent,
                format!("nothing was sent; {}", in_short(&outage.failures, hold_down)),
                format!(
                    "the gateway answered by itself after {}: nothing was sent upstream. In the {within} s before: {counted}",
                    span(waited)
                ),
            )
            .detail("no_live_upstreams")
            .proof(
                last.moment,
                Actor::Upstream,
                match last.status.filter(|_| last.probe) {
                    Some(status) => format!("the latest health check of {} answers {status}", last.upstream),
                    None => format!("the latest failure of {} ({})", last.upstream, last.cause),
                },
            );
            if outage.pool == 0 {
                verdict =
                    verdict.unknown("which upstreams such requests go to: the capture holds no other attempt for one");
            }
            verdict
        }
        None => {
            let verdict = closed_as_it_came(case, waited).unwrap_or_else(|| {
                let what = if exchange.status().is_some() { "answered by itself" } else { "closed without an answer" };
                Verdict::new(
                    Cause::NoUpstreamAttempt,
                    Grade::Undetermined,
                    "nothing was sent; candidates: unix socket, no live upstream, ports",
                    format!("the gateway {what} after {}: nothing was sent upstream for this request", span(waited)),
                )
            });
            if outage.failures.is_empty() {
                verdict.or_else(
                    None,
                    "no live upstream: all were marked as failed before the capture, or by probes that are not in it",
                )
            } else {
                verdict.or_else(
                    None,
                    format!("no live upstream; in the {} s before: {}", hold_down.as_secs(), counted(&outage.failures)),
                )
            }
        }
    };
    if waited > AT_ONCE {
        verdict = verdict.or_else(
            None,
            "an attempt was made, and nothing on it tells it from those of other requests at the same time",
        );
    }
    verdict = verdict
        .or_else(None, "the kernel refused the gateway's connect: no route, unanswered ARP or neighbour discovery, a local firewall, no free source port or descriptor; such failures leave no TCP packet (`ss -s`, the gateway's error log)")
        .or_else(None, "a queue, a connection limit or a circuit breaker that was full");
    if let Some(answer) = answer {
        let what = exchange
            .status()
            .map_or_else(|| String::from("closes without an answer"), |status| format!("status {status}"));
        verdict = verdict.proof_on(Leg::Downstream, answer, Actor::Gateway, format!("{what} after {}", span(waited)));
    }
    verdict
        .or_else(None, "the upstream is a unix socket, which has no packets")
        .rules_out(
            Cause::UpstreamNotCaptured,
            "this gateway's other requests are in the capture with their attempts",
            None,
        )
        .unknown("the gateway's own reason: see its error log")
}

/// A gateway that closes a kept connection as a request comes on it may not have read that: its own time for idle connections, or
/// its limit of requests on one, was over.
fn closed_as_it_came(case: &Case<'_>, waited: Duration) -> Option<Verdict> {
    let Party { exchange, conversation } = case.root;
    let closed = exchange.status().is_none() && conversation.close(Side::Server).is_some();
    if !closed || !exchange.reused || waited >= AT_ONCE {
        return None;
    }
    let waited = span(waited);
    let kept = exchange.idle.map_or(String::from("kept from before"), |idle| format!("idle for {} before", span(idle)));
    let verdict = Verdict::new(
        Cause::NoUpstreamAttempt,
        Grade::Undetermined,
        format!("closed {waited} after the request, on a connection {kept}; nothing was sent"),
        format!(
            "the gateway closed the client's connection, {kept}, {waited} after this request, without an answer, and sent nothing upstream"
        ),
    );
    let verdict = verdict.or_else(
        None,
        "the gateway was closing this connection when the request came: a limit of requests or of idle time, or HTTP/1.0; clients \
         send such a request again",
    );
    Some(verdict.or_else(
        None,
        "the kept connection to the upstream on which it was to be sent had just been closed: HAProxy then closes without a word, for \
         the client to send it again",
    ))
}

/// Failures in a few words.
fn in_short(failures: &[Failure], within: Duration) -> String {
    let within = within.as_secs();
    if failures.iter().any(|failure| failure.probe) {
        return format!("health checks failed in the {within} s before");
    }
    let plural = if failures.len() == 1 { "" } else { "s" };
    format!("{} failure{plural} in the {within} s before", failures.len())
}

/// Failures in words: `3 connection failures to 10.0.0.7:80`.
fn counted(failures: &[Failure]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut upstreams: Vec<Endpoint> = failures.iter().map(|failure| failure.upstream).collect();
    upstreams.sort_unstable();
    upstreams.dedup();
    for upstream in upstreams.iter().take(MOST_NAMED) {
        let own = || failures.iter().filter(|failure| failure.upstream == *upstream);
        if let Some(probe) = own().rfind(|failure| failure.probe) {
            parts.push(match probe.status {
                Some(status) => format!("the health check of {upstream} answered {status}"),
                None => format!("the health check of {upstream} failed ({})", probe.cause),
            });
        } else {
            let count = own().count();
            let connecting = own().all(|failure| failure.cause.phase() == Phase::Connect);
            let (what, at) = if connecting { ("connection failure", "to") } else { ("failure", "at") };
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{count} {what}{plural} {at} {upstream}"));
        }
    }
    if upstreams.len() > MOST_NAMED {
        parts.push(format!("{} more upstreams failed", upstreams.len() - MOST_NAMED));
    }
    parts.join(", ")
}

/// The gateway had a request for long before it sent anything upstream: the span, and what to say of it.
#[must_use]
pub fn silent_wait(case: &Case<'_>) -> Option<(Duration, Verdict)> {
    let exchange = case.root.exchange;
    let first = case.attempts.iter().find(|attempt| attempt.hop == 0)?.party;
    let (ready, began) = silence(exchange, first);
    let wait = began.at.since(ready.at);
    let server = first.exchange.server;
    (wait >= SHORTEST_SILENCE).then(|| {
        let verdict = Verdict::new(
            Cause::NoUpstreamAttempt,
            Grade::Undetermined,
            format!("nothing was sent for {}, then {server} served it", span(wait)),
            format!(
                "the gateway sent nothing for {}, as long as its connection time-out, and then used {server}",
                span(wait)
            ),
        )
        .detail("silent_attempt")
        .proof_on(Leg::Downstream, ready, Actor::Client, "the request is complete")
        .proof(began, Actor::Gateway, format!("the first packet upstream, {} later", span(wait)))
        .or_else(
            None,
            "an upstream host that is down: ARP or neighbour discovery gets no answer, so no SYN leaves the host",
        )
        .or_else(None, "a queue or a rate limit that held the request back")
        .unknown("which upstream was tried before: see the gateway's log");
        (wait, verdict)
    })
}

/// Exchanges that were served after a silence, and the time-outs that may explain it.
#[derive(Debug, Default)]
pub struct SilentWaits {
    waits: Vec<(IpAddr, Duration, Incident)>,
    time_outs: BTreeSet<(IpAddr, Duration)>,
}

impl SilentWaits {
    /// An exchange was served after a silence.
    pub fn keep(&mut self, gateway: IpAddr, wait: Duration, incident: Incident) {
        if self.waits.len() < MOST_SILENCES {
            self.waits.push((gateway, wait, incident));
        }
    }

    /// A gateway gave up on a connection after this span.
    pub fn time_out(&mut self, gateway: IpAddr, waited: Duration) {
        if self.time_outs.len() < MOST_SILENCES {
            self.time_outs.insert((gateway, waited));
        }
    }

    /// The exchanges whose silence is as long as a time-out of the same gateway.
    #[must_use]
    pub fn incidents(self) -> Vec<Incident> {
        let Self { waits, time_outs } = self;
        let explained = |gateway: IpAddr, wait: Duration| {
            time_outs.iter().any(|(other, span)| *other == gateway && span.abs_diff(wait) <= SAME_SPAN)
        };
        waits
            .into_iter()
            .filter(|(gateway, wait, _)| explained(*gateway, *wait))
            .map(|(.., incident)| incident)
            .collect()
    }
}

/// A gateway that does not try any upstream answers within this span.
const AT_ONCE: Duration = Duration::from_millis(100);
/// What a process closes when it ends it closes within this span.
const AT_ONE_MOMENT: Duration = Duration::from_millis(50);
/// Upstreams that are named one by one.
const MOST_NAMED: usize = 3;
/// Spans that differ by less are the same time-out.
const SAME_SPAN: Duration = Duration::from_millis(8);
/// Silences, and time-outs, that are remembered.
const MOST_SILENCES: usize = 256;

/// Nothing in the list fits.
#[must_use]
pub fn unknown(case: &Case<'_>) -> Verdict {
    let exchange = case.root.exchange;
    let what = match exchange.status() {
        Some(status) if status < 500 => "broke its answer off",
        _ if exchange.response_start.is_some() => "answered with an error",
        _ => "gave no answer",
    };
    let mut verdict = Verdict::new(
        Cause::Unknown,
        Grade::Undetermined,
        "the attempt looks in order",
        format!("the gateway {what}, although what was captured of its attempt looks in order"),
    );
    for attempt in &case.attempts {
        let answer =
            attempt.party.exchange.response_start.as_ref().map_or(attempt.party.exchange.started, |s| s.moment);
        let status =
            attempt.party.exchange.status().map_or(String::from("no status"), |status| format!("status {status}"));
        verdict = verdict.proof(answer, Actor::Upstream, status);
    }
    if let Some(start) = &exchange.response_start {
        verdict = verdict.proof_on(Leg::Downstream, start.moment, Actor::Gateway, "the gateway's answer");
    }
    if case.attempts.iter().any(|attempt| was_preceded(attempt.party.exchange)) {
        verdict = verdict.or_else(
            None,
            "an interim response (1xx) came before the final one: gateways that do not know such take it for the whole answer",
        );
    }
    if exchange.response_start.is_none() && case.closed_with_it >= 2 {
        verdict = verdict.or_else(
            Some(Cause::GatewayCrash),
            "the gateway's process ended: other connections were closed with this one",
        );
    }
    verdict.unknown("why the gateway did not pass on what it received: see its error log")
}

/// Whether an interim response came before the final one.
fn was_preceded(exchange: &Exchange) -> bool {
    exchange.request.as_ref().is_some_and(|request| exchange.read > Some(request.acknowledged))
}

/// Whether the gateway's process may have ended when it closed on its client at `at`: then it let go of its attempts as well,
/// and for no other reason.
#[must_use]
pub(super) fn may_have_died(case: &Case<'_>, judged: &[Judged<'_>], at: Moment) -> bool {
    let Party { exchange, .. } = case.root;
    // Who has answered once and closes as soon as it is asked again was about to close.
    let crossed = exchange.reused && case.attempts.is_empty() && at.at.since(exchange.started.at) < AT_ONCE;
    let mut own = judged.iter().filter(|judged| judged.attempt.hop == 0);
    !crossed
        && own.all(|judged| {
            let closed = judged.view.gateway_close().map(|(close, ..)| close);
            let let_go = closed.is_some_and(|close| close.at <= at.at + AT_ONE_MOMENT);
            let cause = judged.verdict.as_ref().map(|verdict| verdict.cause);
            let stalled = cause == Some(Cause::UpstreamNotReading);
            // Within an answer the upstream may have done something that was the end of it.
            let has_begun = exchange.response_start.is_some();
            let unharmed = !has_begun || cause.is_none_or(|cause| cause == Cause::StalledBody);
            // Who had all of an answer, and gave none of it, did not like it.
            let in_time = |end: Moment| closed.is_none_or(|close| end < close);
            let end = judged.view.exchange.response_end.filter(|end| end.how == Ending::Complete);
            let answered = end.is_some_and(|end| in_time(end.moment));
            let_go && !stalled && !answered && unharmed && judged.view.exchange.reset_by(Side::Server).is_none()
        })
}

/// When the gateway let go of its client: where its answer had begun, as it closed.
#[must_use]
pub fn let_go(case: &Case<'_>, given: Moment) -> Moment {
    let Party { exchange, conversation } = case.root;
    let closed = conversation.close(Side::Server).map(|(moment, ..)| moment);
    closed.filter(|_| exchange.response_start.is_some()).unwrap_or(given)
}

/// The gateway dropped a request in flight, and many other connections at the same moment.
#[must_use]
pub fn crash(case: &Case<'_>, at: Moment, others: usize) -> Verdict {
    let has_begun = case.root.exchange.response_start.is_some();
    let said = if has_begun { "closes in the middle of its answer" } else { "closes without an answer" };
    let mut verdict = Verdict::new(
        Cause::GatewayCrash,
        Grade::Consistent,
        format!("the gateway closed {others} connections at once"),
        format!("the gateway itself closed this and {others} other connections within milliseconds, requests in flight; no upstream acted first"),
    )
    .proof_on(Leg::Downstream, at, Actor::Gateway, said);
    for attempt in &case.attempts {
        if let Some((moment, ..)) = attempt.party.conversation.close(Side::Client) {
            verdict = verdict.proof(moment, Actor::Gateway, "closes the upstream leg as well");
        }
    }
    verdict
        .or_else(None, "a worker died, was killed, or was restarted or reloaded without grace")
        .unknown("which of these: see the gateway's log and `journalctl -k`")
}
