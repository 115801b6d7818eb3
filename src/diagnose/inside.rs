//! An upstream leg inside TLS, without keys: what was answered is hidden, and when octets came, how many, and who closed is
//! not. Never proven where an answer began, since the octets that would tell cannot be read.
//!
//! ```text
//!   the client got   upstream closed first   gateway closed first             nobody closed
//!   an error         truncated header, or    after a wait: time-out           relayed
//!                    relayed, by its length  at once: not acceptable
//!   a part           truncated body          after a wait: stalled body
//!                                            at once: malformed
//!   no HTTP          malformed
//! ```

use std::time::Duration;

use crate::correlate::conversation::SMALLEST_HEAD_LIMIT;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Coverage, Given, Outside, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::response::{describe, how, server_moved_first};
use crate::event::{DefectKind, Ending, Moment, Side};

/// How an attempt failed of whose answer nothing but octets is seen; `None` if nothing shows that it did.
pub(super) fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    let start = attempt.exchange.response_start.as_ref()?.moment;
    let seen = Seen::of(attempt, start);
    let mut verdict = match attempt.given {
        Some(given) if given.whole && given.status.is_some_and(|status| status < 500) => return None,
        _ if seen.is_early() => seen.early(),
        Some(given) if given.retried => {
            let verdict = seen.ended().or_else(|| seen.given_up(Cause::ResponseTimeout));
            verdict.unwrap_or_else(|| seen.passed_over())
        }
        Some(Given { defect: Some(kind), .. }) => seen.passed_on_with(kind),
        Some(Given { status: Some(500..), .. }) => seen.replaced_by_error(),
        Some(given) if given.status.is_some() => seen.cut_short(),
        Some(_) => seen.ended().or_else(|| seen.given_up(Cause::ResponseTimeout)).unwrap_or_else(|| seen.refused()),
        None => seen.both_hidden()?,
    };
    verdict.lower(Grade::Consistent, "what the upstream answered: its leg is inside TLS, and there are no keys");
    Some(verdict)
}

/// What is seen of an answer inside TLS.
struct Seen<'a> {
    attempt: &'a Attempt<'a>,
    start: Moment,
    /// When the gateway gave its answer, or closed.
    until: Option<Moment>,
    /// The latest octets before that.
    last: Moment,
    octets: u64,
    /// The upstream's close, where it came first.
    closed: Option<(Moment, bool)>,
    /// The gateway's, where that did.
    left: Option<(Moment, bool)>,
}

impl<'a> Seen<'a> {
    fn of(attempt: &'a Attempt<'a>, start: Moment) -> Self {
        let exchange = attempt.exchange;
        // Where another exchange followed, the connection ended with that.
        let is_last = attempt.conversation.highest == exchange.key.number;
        let left = attempt.gateway_close().filter(|_| is_last && attempt.gateway_closed_first());
        let given = attempt.given.filter(|given| given.status.is_none_or(|status| status >= 500)).map(|given| given.at);
        // The FIN may follow the word that announces it by a while.
        let ended = attempt.conversation.ended(Side::Server);
        let until = left.map(|(moment, ..)| moment).into_iter().chain(given).min();
        Self {
            attempt,
            start,
            until,
            last: exchange.last_response.unwrap_or(start),
            octets: exchange.response_octets().unwrap_or(0),
            closed: server_moved_first(attempt)
                .filter(|_| is_last && given.zip(ended).is_none_or(|(given, ended)| ended < given))
                .map(|(moment, _, reset)| (moment, reset)),
            left: left.map(|(moment, _, reset)| (moment, reset)),
        }
    }

    fn verdict(&self, cause: Cause, why: String, summary: String) -> Verdict {
        let begins = format!("{} octets inside TLS begin", self.octets);
        Verdict::new(cause, Grade::Consistent, why, summary).proof(self.start, Actor::Upstream, begins)
    }

    fn server(&self) -> String {
        self.attempt.conversation.server.to_string()
    }

    /// How long the gateway had waited for more when it gave up.
    fn waited(&self) -> Option<Duration> {
        let until = self.until.filter(|until| *until > self.last)?;
        Some(until.at.since(self.last.at)).filter(|waited| *waited >= SHORTEST_WAIT)
    }

    /// Whether the answer came before the request was complete, and the upstream closed with octets of it unread.
    fn is_early(&self) -> bool {
        let sent_on = self.attempt.exchange.request_end.is_some_and(|(end, _)| end > self.start);
        let unread = self.attempt.server_close().is_some_and(|(_, closing, reset)| {
            reset && matches!(self.attempt.coverage(&closing), Coverage::Part | Coverage::Nothing)
        });
        (sent_on || unread) && self.attempt.server_close().is_some()
    }

    fn early(&self) -> Verdict {
        let server = self.server();
        let mut verdict = self.verdict(
            Cause::EarlyResponse,
            String::from("upstream answered before it had the whole request"),
            format!("{server} answered, inside TLS, before it had read the whole request, and stopped reading"),
        );
        if let Some((moment, reset)) = self.closed {
            let what = format!("{} with octets of the request unread", how(reset).to_uppercase());
            verdict = verdict.proof(moment, Actor::Upstream, what);
        }
        verdict.or_else(Some(Cause::RelayedError), "an error of the upstream's own, passed on")
    }

    /// The client got an error.
    fn replaced_by_error(&self) -> Verdict {
        if self.is_passed_on() {
            return self.relayed();
        }
        if let Some(verdict) = self.ended() {
            return verdict;
        }
        match (self.given_up(Cause::ResponseTimeout), self.left) {
            (Some(verdict), _) => verdict,
            (None, Some(_)) => self.refused(),
            // Whoever keeps the connection has read the answer to its end, and found nothing wrong with it.
            (None, None) => self.relayed(),
        }
    }

    /// The client got something that is no response: no gateway writes that by itself.
    fn passed_on_with(&self, kind: DefectKind) -> Verdict {
        let (detail, what) = describe(kind);
        let server = self.server();
        let why = format!("{} octets inside TLS; what the gateway passed on has {what}", self.octets);
        let summary = format!("{server} answered, inside TLS, with {what}, which the gateway passed on to its client");
        self.verdict(Cause::MalformedResponse, why, summary)
            .detail(detail)
            .or_else(Some(Cause::TruncatedHeader), "the answer broke off, and the gateway passed on what there was")
    }

    /// Whether the client got as much as the upstream sent.
    fn is_passed_on(&self) -> bool {
        let whole = self.attempt.exchange.response_end.is_some_and(|end| end.how != Ending::Truncated);
        let given = self.attempt.given.filter(|given| !given.own_page).and_then(|given| given.octets);
        whole && given.is_some_and(|given| given.abs_diff(self.octets) <= USUAL_FIELDS)
    }

    fn relayed(&self) -> Verdict {
        let server = self.server();
        self.verdict(
            Cause::RelayedError,
            format!("{} octets of an answer; the client's error is about as long", self.octets),
            format!("{server} answered, inside TLS, and the gateway most likely passed that on: an error of the upstream's own"),
        )
        .or_else(Some(Cause::MalformedResponse), "the gateway found fault with the answer and made its own")
    }

    /// The upstream closed before the answer was complete.
    fn ended(&self) -> Option<Verdict> {
        let (moment, reset) = self.closed?;
        let summary = "closed behind octets inside TLS that the gateway did not take for an answer";
        let verdict = self.broken_off(Cause::TruncatedHeader, (moment, reset), summary).rules_out(
            Cause::ResponseTimeout,
            "the upstream closed first",
            Some(moment.frame),
        );
        Some(verdict.or_else(Some(Cause::MalformedResponse), "a whole answer that the gateway could not accept"))
    }

    fn broken_off(&self, cause: Cause, (moment, reset): (Moment, bool), summary: &str) -> Verdict {
        let said = how(reset).to_uppercase();
        self.verdict(
            cause,
            format!("{} octets inside TLS, then {said}", self.octets),
            format!("{} {summary}", self.server()),
        )
        .detail(how(reset))
        .proof(moment, Actor::Upstream, said)
    }

    /// The gateway waited for more.
    fn given_up(&self, cause: Cause) -> Option<Verdict> {
        let waited = self.waited()?;
        let server = self.server();
        let mut verdict = self
            .verdict(
                cause,
                format!("gateway gave up at {}, after {} octets inside TLS", span(waited), self.octets),
                format!(
                    "{server} stopped sending in the middle of its answer; the gateway gave up after {}",
                    span(waited)
                ),
            )
            .proof(self.last, Actor::Upstream, "the last octets of the response");
        verdict.detail = (cause == Cause::ResponseTimeout).then_some("head_incomplete");
        if let Some((moment, reset)) = self.left {
            verdict = verdict.proof(
                moment,
                Actor::Gateway,
                format!("{}: the gateway closes first", how(reset).to_uppercase()),
            );
        }
        Some(verdict.rules_out(Cause::ClosedWithoutResponse, "octets of a response came", Some(self.start.frame)))
    }

    /// The gateway closed on the answer at once.
    fn refused(&self) -> Verdict {
        let server = self.server();
        let too_large = (SMALLEST_HEAD_LIMIT..=LARGEST_HEAD).contains(&self.octets);
        let (cause, other) = if too_large {
            (Cause::ResponseHeaderTooLarge, Cause::MalformedResponse)
        } else {
            (Cause::MalformedResponse, Cause::ResponseHeaderTooLarge)
        };
        let mut verdict = self.verdict(
            cause,
            format!("the gateway hung up on {} octets inside TLS", self.octets),
            format!("{server} answered, inside TLS, and the gateway did not accept that"),
        );
        if let Some((moment, reset)) = self.left {
            verdict =
                verdict.proof(moment, Actor::Gateway, format!("{}: the gateway hangs up", how(reset).to_uppercase()));
        }
        verdict
            .or_else(Some(other), "octets that cannot be read do not tell which of both it was")
            .or_else(Some(Cause::RelayedError), "the upstream's own error, after which the gateway closed")
    }

    /// The client got a part of an answer.
    fn cut_short(&self) -> Verdict {
        if let Some((moment, reset)) = self.closed {
            let summary = "closed in the middle of the response's content";
            return self.broken_off(Cause::TruncatedBody, (moment, reset), summary).rules_out(
                Cause::StalledBody,
                "the upstream closed first",
                Some(moment.frame),
            );
        }
        self.given_up(Cause::StalledBody).unwrap_or_else(|| self.refused())
    }

    /// Another attempt followed although this one was answered.
    fn passed_over(&self) -> Verdict {
        let server = self.server();
        self.verdict(
            Cause::RelayedError,
            format!("{} octets of an answer, and the gateway tried again", self.octets),
            format!("{server} answered, inside TLS, and the gateway tried again: most likely an error that it retries"),
        )
        .or_else(Some(Cause::MalformedResponse), "an answer that the gateway could not accept")
    }

    /// Neither leg can be read.
    fn both_hidden(&self) -> Option<Verdict> {
        let is_cut = self.attempt.exchange.response_end.is_some_and(|end| end.how == Ending::Truncated);
        let is_lost = self.attempt.outside.is_some_and(|given| match given {
            Outside::Closed => true,
            Outside::Answered(octets) => octets.abs_diff(self.octets) > USUAL_FIELDS && octets < self.octets,
        });
        // An idle connection may well be reset.
        let in_the_middle = |(moment, reset): &(Moment, bool)| {
            is_cut || *reset && is_lost && moment.at.since(self.last.at) < SHORTEST_WAIT
        };
        if let Some(closed) = self.closed.filter(in_the_middle) {
            let (cause, other) = match is_cut {
                true => (Cause::TruncatedBody, Cause::TruncatedHeader),
                false => (Cause::TruncatedHeader, Cause::TruncatedBody),
            };
            let verdict = self.broken_off(cause, closed, "closed in the middle of its answer");
            return Some(verdict.or_else(Some(other), "how far the answer had come cannot be read"));
        }
        self.given_up(Cause::ResponseTimeout).filter(|_| is_lost && self.left.is_some())
    }
}

/// A gateway that gives up sooner than this hardly does so for waiting.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
/// Octets by which the fields that a gateway adds or takes away usually change an answer.
const USUAL_FIELDS: u64 = 160;
/// A header section that is longer is none.
const LARGEST_HEAD: u64 = 1 << 20;
