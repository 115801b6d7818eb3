//! Phase connect: the upstream could not be reached, or hung up before it was asked anything.

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Coverage, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::{neighbour, path};
use crate::event::{FirstSeen, Side};

/// Why the connection to the upstream failed, if it did.
#[must_use]
pub fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    icmp(attempt).or_else(|| refused(attempt)).or_else(|| unanswered(attempt)).or_else(|| queue_full(attempt))
}

fn icmp(attempt: &Attempt<'_>) -> Option<Verdict> {
    let conversation = attempt.conversation;
    if conversation.established.is_some() {
        return None;
    }
    let (moment, error) = *conversation.unreachable.iter().find(|(_, error)| error.quoted == Side::Client)?;
    let (cause, said) = path::meaning(&error)?;
    let delay = moment.at.since(conversation.opened.at);
    let server = conversation.server;
    let quoted = conversation.first_seen == FirstSeen::Quoted;
    let why = if quoted {
        format!("{said}, from {}; the SYN was on no wire that is captured", error.from)
    } else {
        format!("{said}, from {} {} after the SYN", error.from, span(delay))
    };
    let summary = format!("the connection to {server} was rejected on the way: ICMP {said}, sent by {}", error.from);
    let mut verdict = Verdict::new(cause, Grade::Proven, why, summary);
    if !quoted {
        verdict = verdict.proof(conversation.opened, Actor::Gateway, format!("SYN to {server}"));
    }
    verdict = verdict
        .proof(moment, Actor::Network, format!("ICMP from {}: {said}; quotes the SYN", error.from))
        .rules_out(Cause::ConnectTimeout, "the SYN was answered by an ICMP error", Some(moment.frame))
        .rules_out(Cause::ConnectRefused, "no RST came from the endpoint", None);
    if error.from == conversation.client.ip() {
        verdict = match &attempt.sought {
            Some(search) => neighbour::proof(search, verdict),
            None => verdict.unknown("the gateway's own kernel sent the error: no neighbour answered for the address"),
        };
    }
    Some(verdict)
}

fn refused(attempt: &Attempt<'_>) -> Option<Verdict> {
    let conversation = attempt.conversation;
    let (moment, reset) = *conversation.resets.iter().find(|(_, reset)| reset.refuses_syn)?;
    let delay = moment.at.since(conversation.syn().0.at);
    let server = conversation.server;
    Some(
        Verdict::new(
            Cause::ConnectRefused,
            Grade::Proven,
            format!("SYN answered by RST after {}", span(delay)),
            format!("{server} refused the connection: nothing listens there, or a firewall answers in its name"),
        )
        .proof(conversation.syn().0, Actor::Gateway, format!("SYN to {server}"))
        .proof(moment, Actor::Upstream, format!("RST, ack = initial sequence number + 1, TTL {}", reset.ttl))
        .rules_out(Cause::ConnectTimeout, "the SYN was answered", Some(moment.frame))
        .rules_out(Cause::ConnectReset, "the handshake was never completed", Some(moment.frame))
        .unknown("whether the process is down, listens on another address or port, or a firewall rejects with a reset"),
    )
}

fn unanswered(attempt: &Attempt<'_>) -> Option<Verdict> {
    let conversation = attempt.conversation;
    let silent = conversation.first_seen == FirstSeen::Syn
        && conversation.syn_ack.is_none()
        && conversation.established.is_none()
        && attempt.exchange.key.number == 0
        && conversation.resets.iter().all(|(_, reset)| reset.by == Side::Client)
        && conversation.close(Side::Server).is_none();
    if !silent {
        return None;
    }
    let (last, repeats) = conversation.syn();
    let server = conversation.server;
    let until = attempt.given.map_or(last, |given| given.at);
    let waited = until.at.since(conversation.opened.at);
    let syns = repeats + 1;
    let plural = if syns == 1 { "" } else { "s" };
    let why = format!("{syns} SYN{plural} unanswered in {}", span(waited));
    if attempt.others_connected {
        return Some(
            Verdict::new(
                Cause::AcceptQueueFull,
                Grade::Consistent,
                format!("{why}, while others to {server} were accepted"),
                format!("{server} did not answer this connection attempt, but accepted others meanwhile"),
            )
            .proof(conversation.opened, Actor::Gateway, format!("SYN to {server}"))
            .proof(last, Actor::Gateway, format!("latest of {syns} SYNs"))
            .or_else(
                Some(Cause::ConnectTimeout),
                "SYNs lost on the way; a capture at the upstream would show them missing",
            ),
        );
    }
    if let Some(search) = attempt.sought {
        let verdict = Verdict::new(
            Cause::ConnectUnreachable,
            if repeats > 0 { Grade::Proven } else { Grade::Consistent },
            format!("{why}; {}", neighbour::asked(&search, until)),
            format!(
                "{server} is not on the gateway's link any more: nobody answers for its address, and no SYN is answered"
            ),
        )
        .detail("no_neighbour")
        .proof(conversation.opened, Actor::Gateway, format!("SYN to {server}"));
        return Some(
            neighbour::proof(&search, verdict)
                .rules_out(Cause::ConnectRefused, "no RST", None)
                .rules_out(Cause::AcceptQueueFull, "a host that is up answers for its address", Some(search.last.frame))
                .unknown("whether the host is down, or has another address by now"),
        );
    }
    // A gateway that opens connections for whoever comes next goes on when one of its clients has its error.
    let goes_on = attempt.given.is_some_and(|given| given.at < last);
    let grade = if repeats > 0 && !goes_on { Grade::Proven } else { Grade::Consistent };
    let verdict = Verdict::new(
        Cause::ConnectTimeout,
        grade,
        why,
        format!("{server} never answered the connection attempt; the gateway gave up"),
    )
    .proof(conversation.opened, Actor::Gateway, format!("SYN to {server}"))
    .proof(last, Actor::Gateway, format!("latest of {syns} SYN{plural}; no answer follows"))
    .rules_out(Cause::ConnectRefused, "no RST", None)
    .rules_out(Cause::ConnectUnreachable, "no ICMP error quotes the SYN", None);
    if attempt.at_upstream {
        // The SYN is on the wire of the host that it was for: the way there is not to blame.
        return Some(
            verdict
                .or_else(None, "the upstream host's own firewall drops it: `iptables -S`, `nft list ruleset`")
                .or_else(
                    Some(Cause::AcceptQueueFull),
                    "the listener's accept queue is full: check `ss -ltn` and `nstat -az TcpExtListenOverflows` here",
                )
                .unknown("which of these it is: the SYN arrived at the upstream's host, which did not answer it"),
        );
    }
    Some(
        verdict
        .or_else(None, "a firewall or security group drops the packets")
        .or_else(
            Some(Cause::AcceptQueueFull),
            "the listener's accept queue is full: check `ss -ltn` and `nstat -az TcpExtListenOverflows` on the upstream",
        )
        .or_else(None, "no host has this address any longer: compare it with what the name resolves to now")
        .unknown("which of these it is: they are the same packets at the gateway"),
    )
}

/// The listener acknowledged nothing although the handshake seems complete from here: its accept queue overflowed.
fn queue_full(attempt: &Attempt<'_>) -> Option<Verdict> {
    let conversation = attempt.conversation;
    let (first, count) = conversation.syn_ack_repeated?;
    let acknowledged = attempt.exchange.acknowledged.is_some() || attempt.exchange.response_start.is_some();
    let covered = attempt
        .server_close()
        .is_some_and(|(_, closing, _)| matches!(attempt.coverage(&closing), Coverage::Whole | Coverage::Part));
    if acknowledged || covered || attempt.exchange.reused {
        return None;
    }
    let server = conversation.server;
    let mut verdict = Verdict::new(
        Cause::AcceptQueueFull,
        Grade::Proven,
        format!("SYN-ACK repeated {count} × although acknowledged"),
        format!("{server}'s accept queue is full: it drops the final ACK of the handshake again and again"),
    );
    if let Some(established) = conversation.established {
        verdict = verdict.proof(established, Actor::Gateway, "ACK of the SYN-ACK");
    }
    Some(verdict.proof(first, Actor::Upstream, "SYN-ACK again: the acknowledgement was dropped").rules_out(
        Cause::RequestLost,
        "SYN-ACKs arrive: the path works",
        Some(first.frame),
    ))
}
