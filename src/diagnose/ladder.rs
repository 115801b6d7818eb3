//! Both legs of a case, frame by frame: what a person would pick out of the packet list.

use crate::correlate::conversation::ResponseEnd;
use crate::correlate::{Case, Party, Role};
use crate::diagnose::evidence::Verdict;
use crate::diagnose::incident::{Actor, Leg, Step};
use crate::diagnose::tls;
use crate::event::{Closing, Ending, Moment, Side};

/// The steps, in the order of the frames; the verdict's evidence gives some of them their role.
#[must_use]
pub(super) fn steps(case: &Case<'_>, verdict: &Verdict) -> Vec<Step> {
    let mut steps = Vec::new();
    if case.role == Role::Downstream {
        leg(case.root, Leg::Downstream, &mut steps);
    } else {
        leg(case.root, Leg::Upstream, &mut steps);
    }
    for attempt in &case.attempts {
        leg(attempt.party, Leg::Upstream, &mut steps);
    }
    for proof in &verdict.evidence {
        match steps.iter_mut().find(|step| step.moment.frame == proof.moment.frame && step.leg == proof.leg) {
            Some(step) => step.role.clone_from(&proof.what),
            None => steps.push(Step {
                moment: proof.moment,
                leg: proof.leg,
                from: proof.from,
                what: proof.what.clone(),
                role: String::new(),
            }),
        }
    }
    steps.sort_by_key(|step| step.moment);
    one_a_frame(steps)
}

/// A frame is one row of its leg. That it also acknowledges the request is not worth a word beside what it carries.
fn one_a_frame(steps: Vec<Step>) -> Vec<Step> {
    let mut rows: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        let same =
            |row: &&mut Step| row.moment.frame == step.moment.frame && row.leg == step.leg && row.from == step.from;
        // A frame has at most a row for each leg and sender.
        match rows.iter_mut().rev().take(4).find(same) {
            None => rows.push(step),
            Some(_) if step.what == ACKNOWLEDGES => {}
            Some(row) => {
                if row.what == ACKNOWLEDGES {
                    row.what = step.what;
                } else if row.what != step.what {
                    row.what = format!("{}, {}", row.what, step.what);
                }
                if row.role.is_empty() {
                    row.role = step.role;
                }
            }
        }
    }
    rows
}

fn leg(party: Party<'_>, leg: Leg, steps: &mut Vec<Step>) {
    let Party { exchange, conversation } = party;
    let (client, server) = match leg {
        Leg::Downstream => (Actor::Client, Actor::Gateway),
        Leg::Upstream => (Actor::Gateway, Actor::Upstream),
    };
    let mut step = |moment: Moment, from: Actor, what: String| {
        steps.push(Step { moment, leg, from, what, role: String::new() });
    };
    if !exchange.reused && leg == Leg::Upstream {
        step(conversation.opened, client, String::from("SYN"));
        if conversation.syn().1 > 0 {
            step(conversation.syn().0, client, format!("SYN again ({} ×)", conversation.syn().1));
        }
        if let Some((moment, _)) = conversation.syn_ack {
            step(moment, server, String::from("SYN-ACK"));
        }
    }
    let handshake = conversation.handshake.as_ref().filter(|handshake| handshake.answered.is_none());
    if let Some(handshake) = handshake.filter(|_| leg == Leg::Upstream && exchange.key.number <= 1) {
        for (moment, side, what) in tls::seen::ladder(handshake) {
            step(moment, if side == Side::Client { client } else { server }, what);
        }
    }
    if let Some(since) = conversation.idle_since.filter(|since| *since < exchange.started) {
        step(since, server, String::from("the response before"));
    }
    if let Some(start) = exchange.request_start {
        let request = exchange.request.as_ref();
        let line = request
            .map_or_else(|| String::from("request"), |request| format!("{} {}", request.method(), request.target()));
        let place = exchange.request_end_offset().map_or(format!("{start}.."), |end| format!("{start}..{end}"));
        step(exchange.started, client, format!("{line} {place}"));
    }
    if let Some(moment) = exchange.acknowledged {
        step(moment, server, String::from(ACKNOWLEDGES));
    }
    for repeat in conversation.repeats.iter().filter(|repeat| repeat.moment > exchange.started).take(4) {
        let from = if repeat.sender == Side::Client { client } else { server };
        step(repeat.moment, from, format!("{}..{} again", repeat.offset, repeat.offset + repeat.length));
    }
    if let Some(start) = &exchange.response_start {
        let status = exchange.status().map_or_else(|| String::from("response"), |status| format!("{status}"));
        let reason = exchange.response.as_ref().map_or("", |response| response.reason());
        step(start.moment, server, format!("{status} {reason}").trim_end().to_owned());
    }
    // A response that is cut short ends with whichever close came first; the other side's frame holds none of its octets.
    let own = |end: &ResponseEnd| {
        let closed = conversation.close(Side::Server).is_some_and(|(moment, ..)| moment.frame == end.moment.frame);
        closed || matches!(end.how, Ending::Complete | Ending::Switched)
    };
    let apart = |end: &ResponseEnd| exchange.response_start.as_ref().is_some_and(|start| start.moment != end.moment);
    if let Some(end) = exchange.response_end.filter(|end| end.content > 0 && apart(end) && own(end)) {
        step(end.moment, server, format!("… {} octets of content", end.content));
    }
    for (moment, error) in &conversation.unreachable {
        step(*moment, Actor::Network, format!("ICMP type {} code {}", error.icmp_type, error.code));
    }
    let is_ours = |moment: &Moment| *moment >= exchange.started;
    for (moment, closing) in conversation.fins.iter().flatten().filter(|(moment, _)| is_ours(moment)) {
        step(*moment, if closing.by == Side::Client { client } else { server }, format!("FIN {}", ack(closing)));
    }
    for (moment, closing) in conversation.resets.iter().filter(|(moment, _)| is_ours(moment)) {
        let from = if closing.by == Side::Client { client } else { server };
        let what = if closing.refuses_syn {
            String::from("RST: refuses the SYN")
        } else {
            format!("RST seq={} {}", closing.at, ack(closing)).trim_end().to_owned()
        };
        step(*moment, from, what);
    }
}

fn ack(closing: &Closing) -> String {
    closing.acknowledged.map_or(String::new(), |ack| format!("ack={ack}"))
}

/// What a bare acknowledgement of the whole request shows as.
const ACKNOWLEDGES: &str = "ACK of the request";
