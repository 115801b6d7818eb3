//! The attempts of a case, each judged in the light of what the gateway did next.

use std::time::Duration;

use crate::correlate::{Case, Party, Try};
use crate::diagnose::Diagnoser;
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{self, Attempt, Given, Outside, Verdict};
use crate::diagnose::incident::{Candidate, Grade};
use crate::diagnose::product::Product;
use crate::diagnose::verdicts::{self, judge_attempt};
use crate::diagnose::{neighbour, resolve, response};
use crate::event::Side;
use crate::time::Timestamp;

impl Diagnoser {
    /// `given` is what the gateway gave to its client, where that can be seen.
    pub(super) fn judge_attempts<'a>(&self, case: &Case<'a>, given: Option<Given>) -> Vec<Judged<'a>> {
        let mut judged: Vec<Judged<'a>> = Vec::with_capacity(case.attempts.len());
        for (index, attempt) in case.attempts.iter().enumerate() {
            // A gateway behind the gateway gave its answer on the attempt that it is behind.
            let behind = case
                .attempts
                .get(..index)
                .and_then(|before| before.iter().rev().find(|outer| outer.hop + 1 == attempt.hop));
            let given = if attempt.hop == 0 { given } else { behind.and_then(|outer| evidence::given_on(outer.party)) };
            let next = case.attempts.get(index + 1..).and_then(|after| {
                after.iter().take_while(|next| next.hop >= attempt.hop).find(|next| next.hop == attempt.hop)
            });
            // An attempt after which another one was made did not satisfy the gateway.
            let given = match next {
                Some(next) => {
                    let at = next.party.exchange.started;
                    let at = if next.party.exchange.reused { at } else { next.party.conversation.opened };
                    Some(Given {
                        status: None,
                        whole: false,
                        octets: None,
                        content: None,
                        own_page: false,
                        defect: None,
                        retried: true,
                        at,
                        client_closed: None,
                        broken_off: None,
                    })
                }
                None => given,
            };
            // Nothing behind an attempt is surer than that the attempt belongs here.
            let pairing = behind.map_or(attempt.pairing, |outer| outer.pairing.min(attempt.pairing));
            let before = case.attempts.get(..index).into_iter().flatten().filter(|before| before.hop == attempt.hop);
            let bare = attempt.party.exchange.key.number == 0;
            let pairing = verdicts::pairing_after(pairing, bare, before.map(|before| before.pairing));
            let attempt = &Try { pairing, ..*attempt };
            let maker = behind.map_or(case.root, |outer| outer.party).exchange.server;
            let mut view = self.view(case, *attempt, given, self.products.at(maker, case.gateways));
            view.outside = Outside::of(case.root).filter(|_| attempt.hop == 0 && next.is_none());
            let mut verdict = judge_attempt(&view);
            if let Some(verdict) = &mut verdict {
                self.doubt_last(&view, verdict);
                doubt_silence(case, verdict);
                resolve::note_outdated(case, view.conversation, verdict);
            }
            let deeper = case.attempts.get(index + 1).is_some_and(|next| next.hop > attempt.hop);
            if !deeper && verdict.as_ref().is_some_and(|verdict| verdict.cause == Cause::RelayedError) {
                verdict = self.answered_by_itself(case, *attempt).or(verdict);
                if let Some(verdict) = verdict
                    .as_mut()
                    .filter(|verdict| verdict.cause == Cause::RelayedError && response::is_page_of_gateway(&view))
                {
                    let gateway = view.conversation.server;
                    verdict.lower(Grade::Consistent, format!("what {gateway}, a gateway by its page, met with"));
                }
            }
            if let Some(verdict) = verdict.as_mut().filter(|_| !deeper && !bare)
                && case.gateways.is_front(view.exchange.server.ip())
            {
                // A gateway that failed at what is behind it; what that was did not come by.
                self.doubt_absence(verdict, view.exchange.started.at, view.conversation.last.at);
            }
            if next.is_some() && is_not_given_up(&view, verdict.as_ref()) {
                verdict = None;
            } else if verdict.is_none() && next.is_some() {
                verdict = Some(Verdict::new(
                    Cause::Unknown,
                    Grade::Undetermined,
                    "the gateway tried again",
                    format!(
                        "the gateway tried again after this attempt at {}, although it looks in order",
                        attempt.party.exchange.server
                    ),
                ));
            }
            judged.push(Judged { attempt: *attempt, view, verdict });
        }
        judged
    }

    pub(super) fn view<'a>(
        &self,
        case: &Case<'_>,
        attempt: Try<'a>,
        given: Option<Given>,
        product: Option<Product>,
    ) -> Attempt<'a> {
        let Party { exchange, conversation } = attempt.party;
        let accepted = self.accepted.get(&exchange.server);
        let until = given.map_or(conversation.last.at, |given| given.at.at);
        Attempt {
            exchange,
            conversation,
            pairing: attempt.pairing,
            given,
            outside: None,
            product,
            endpoint: self.endpoints.speaks(exchange.server),
            among_tls: self.endpoints.speaks_tls_alone(exchange.server.ip()),
            serves_host: conversation
                .handshake
                .as_ref()
                .is_some_and(|handshake| self.endpoints.serves(exchange.server, handshake.host())),
            at_upstream: [exchange.server, exchange.client].map(|end| case.gateways.is_local(end.ip()) == Some(true))
                == [true, false],
            sought: (conversation.established.is_none() && exchange.key.number == 0)
                .then(|| neighbour::sought_for(case, conversation, given))
                .flatten(),
            others_connected: accepted.is_some_and(|accepted| accepted.any_within(conversation.opened.at, until)),
        }
    }

    /// Lowers a verdict that rests on this having been the gateway's last attempt, where packets were missed meanwhile and
    /// there was time for another one before the gateway answered; or on nothing having answered a SYN.
    fn doubt_last(&self, view: &Attempt<'_>, verdict: &mut Verdict) {
        let until = view.given.map_or(view.conversation.last.at, |given| given.at.at);
        let began = view.conversation.opened.at.max(view.exchange.started.at);
        let unanswered = verdict.cause == Cause::ConnectTimeout;
        let is_last = view.given.is_some_and(|given| !given.retried);
        let ended = verdict.evidence.iter().map(|proof| proof.moment.at).filter(|at| *at <= until).max();
        let room = until.since(ended.unwrap_or(began));
        if unanswered || is_last && room > REACTION {
            self.doubt_absence(verdict, began, until);
        }
    }

    /// Lowers a verdict that rests on something not having happened between two instants, where the capture missed packets
    /// around that time.
    pub(super) fn doubt_absence(&self, verdict: &mut Verdict, from: Timestamp, until: Timestamp) {
        if verdict.grade == Grade::Proven && self.missed.any_within(from - AROUND, until + AROUND) {
            verdict.lower(
                Grade::Consistent,
                "what else happened: the capture missed packets of other connections, or of this one, around that time",
            );
        }
    }
}

/// The verdict on an attempt of which no client's exchange is known.
pub(super) fn judge_lone(case: &Case<'_>, view: &Attempt<'_>) -> Option<Verdict> {
    let mut verdict = judge_attempt(view);
    verdict.iter_mut().for_each(|verdict| doubt_silence(case, verdict));
    verdict
}

/// Lowers a verdict that rests on no ICMP error having come, where the capture has no room for one.
fn doubt_silence(case: &Case<'_>, verdict: &mut Verdict) {
    if verdict.cause != Cause::ConnectTimeout || !case.neighbours.is_tcp_alone() {
        return;
    }
    verdict.lower(Grade::Consistent, "whether an ICMP error came: the capture holds nothing but TCP");
    verdict.ruled_out.retain(|ruled_out| ruled_out.cause != Cause::ConnectUnreachable);
    let what = "a router, or the host itself, said so by ICMP: add `or icmp or icmp6 or arp` to the capture's filter";
    verdict.candidates.push(Candidate { cause: Some(Cause::ConnectUnreachable), what: what.to_owned() });
}

/// Whether a gateway had all that it wanted of an attempt, or still waits for it: then what was taken for the next one was made for
/// another request, which looks alike. Who tries again lets go first.
fn is_not_given_up(view: &Attempt<'_>, verdict: Option<&Verdict>) -> bool {
    let Attempt { exchange, conversation, .. } = view;
    let answered = exchange.response_end.filter(|_| exchange.is_answered()).map(|end| end.moment);
    let let_go = conversation.close(Side::Client).map(|(closed, ..)| closed);
    let kept =
        let_go.is_none_or(|let_go| answered.is_some_and(|answered| answered < let_go)) || view.party().had_enough();
    let of_waiting = |verdict: &Verdict| matches!(verdict.cause, Cause::ResponseTimeout | Cause::StalledBody);
    kept && exchange.key.number > 0
        && exchange.veiled.is_none()
        && exchange.defect.is_none()
        && exchange.status().is_none_or(|status| status < 400)
        && verdict.is_none_or(of_waiting)
}

/// A gateway that has its reason answers its client within this span. Longer, and another attempt fits in between.
const REACTION: Duration = Duration::from_micros(300);
/// Packets missed by this much earlier or later tell that others may have been.
const AROUND: Duration = Duration::from_secs(1);
