//! Idle connections that upstreams closed at the very moment at which a gateway had chosen one for a request. Some gateways look
//! at the connection once more before they send, and fail the request then: nothing of it was ever on a wire.
//!
//! ```text
//!   downstream   request |------------| 502
//!   upstream   (idle) ------- RST
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::Case;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Verdict, span};
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::event::{Endpoint, Moment};

/// The latest of them.
#[derive(Debug, Default)]
pub(super) struct IdleCloses {
    latest: VecDeque<IdleClose>,
}

#[derive(Clone, Copy, Debug)]
struct IdleClose {
    moment: Moment,
    gateway: IpAddr,
    server: Endpoint,
}

impl IdleCloses {
    /// A server closed an idle connection.
    pub(super) fn note(&mut self, moment: Moment, gateway: IpAddr, server: Endpoint) {
        if self.latest.len() >= MOST {
            self.latest.pop_front();
        }
        self.latest.push_back(IdleClose { moment, gateway, server });
    }

    /// What is to be said of a request that was answered by an error at once, and for which nothing was sent, where an idle
    /// connection was closed in between; `None` where that would be no wonder, since so many are.
    pub(super) fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let asked = case.root.exchange;
        let status = asked.status().filter(|status| *status >= 500)?;
        let answer = asked.response_start.as_ref()?.moment;
        let ready = asked.request_head.unwrap_or(asked.started);
        let own = |close: &&IdleClose| case.gateways.same(close.gateway, asked.server.ip());
        let between = |close: &&IdleClose| {
            close.moment.at + BEFORE >= ready.at && close.moment < answer && close.moment.at <= answer.at
        };
        let closed = self.latest.iter().rev().filter(between).find(own)?;
        let near = |close: &&IdleClose| close.moment.at + AROUND >= answer.at && close.moment.at <= answer.at + AROUND;
        let window = answer.at.since(ready.at) + BEFORE;
        let others = self.latest.iter().filter(near).filter(own).count().saturating_sub(1);
        let by_chance = window.saturating_mul(u32::try_from(others).unwrap_or(u32::MAX));
        if case.partial || case.upstream_opaque || window > LONGEST || by_chance * SURE > AROUND * 2 {
            return None;
        }
        let server = closed.server;
        Some(
            Verdict::new(
                Cause::KeepaliveRace,
                Grade::Consistent,
                format!("an idle connection was closed {} before the {status}", span(answer.at.since(closed.moment.at))),
                format!(
                    "{server} closed an idle connection at the moment of the request, and the gateway answered {status} without \
                     sending it: it had chosen that connection"
                ),
            )
            .detail("unsent")
            .proof_on(Leg::Downstream, ready, Actor::Client, "the request")
            .proof(closed.moment, Actor::Upstream, "closes a connection of the gateway's that is idle")
            .proof_on(Leg::Downstream, answer, Actor::Gateway, format!("status {status}; nothing was sent upstream"))
            .rules_out(Cause::UpstreamNotCaptured, "this gateway's other requests are in the capture with their attempts", None)
            .or_else(
                Some(Cause::NoUpstreamAttempt),
                "the gateway answered by itself for another reason: no live upstream, a limit, a full queue",
            )
            .unknown("which connection the gateway had chosen: see its error log"),
        )
    }
}

/// So many are remembered.
const MOST: usize = 1024;
/// The close may have been on its way through the gateway's host when the request came.
const BEFORE: Duration = Duration::from_micros(500);
/// Who takes longer than this to answer did not fail on that.
const LONGEST: Duration = Duration::from_millis(10);
/// How often such closes are is counted within this span on both sides.
const AROUND: Duration = Duration::from_millis(500);
/// A close that falls into the window by chance less often than once in so many cases is no chance.
const SURE: u32 = 5;
