//! The whole of the pure part: captured frames in, a report out.
//!
//! Its two halves meet in events alone: [`Below`] has a shard, [`Above`] what is made of its events. [`Analysis`] is both in
//! one; who has two cores may run them side by side ([`Analysis::halves`]), with the same report.

mod below;
mod findings;
mod joined;
mod learned;
mod lessons;
mod news;
mod notes;
mod rows;
mod seen;

use std::net::IpAddr;

use crate::analysis::findings::Findings;
use crate::analysis::lessons::Lessons;
use crate::analysis::news::Desk;
use crate::analysis::notes::{decryption_note, differ_note, http2_note, snaplen_note};
use crate::analysis::rows::{latency, upstreams};
use crate::analysis::seen::Seen;
use crate::correlate::Correlator;
use crate::correlate::gateway::Gateways;
use crate::diagnose::{Question, advice, episode, warning};
use crate::event::{Endpoint, Event};
use crate::flow::share::Share;
use crate::flow::steer::{Captured, Steer};
use crate::limits::Limits;
use crate::report::{Coverage, ExchangeRow, Report, Totals};
use crate::shard::Shard;
use crate::stats::Stats;
use crate::time::Timestamp;
use crate::wire::tls::keylog::Entry;

pub use crate::analysis::below::{Below, Passed};
pub use crate::analysis::joined::{Joined, Part};
pub use crate::analysis::lessons::Learner;
pub use crate::analysis::news::News;

/// An analysis under way.
pub struct Analysis<'r> {
    below: Below,
    above: Above<'r>,
}

/// The half that turns events into a report.
pub struct Above<'r> {
    correlator: Correlator,
    seen: Seen,
    lessons: Lessons<'r>,
}

/// Who is given every downstream exchange once it has settled.
pub type TakeRow<'r> = &'r mut (dyn FnMut(&ExchangeRow) + Send);

impl<'r> Analysis<'r> {
    /// An analysis that answers `question`. `exchange_row` is given every downstream exchange once it has settled.
    #[must_use]
    pub fn new(limits: &Limits, gateways: Gateways, question: Question, exchange_row: Option<TakeRow<'r>>) -> Self {
        // Who wants to be given every exchange has to see it as a case.
        let every = exchange_row.is_some().then_some(0..=u16::MAX);
        let apart: Vec<_> = question.statuses.iter().cloned().chain(every).collect();
        Self {
            below: Below::new(limits),
            above: Above {
                correlator: Correlator::new(limits, gateways).telling_apart(&apart),
                seen: Seen::default(),
                lessons: Lessons::new(Findings::new(question, limits.incidents, exchange_row)),
            },
        }
    }

    /// From now on incidents can be asked for as they happen, with [`Analysis::news`], and keep the identifiers that they then
    /// have.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.above.correlator = self.above.correlator.live();
        self.above.lessons.learned().desk = Some(Desk::default());
        self
    }

    /// Its two halves. What the lower one gives out the upper one takes, in the same order.
    #[must_use]
    pub fn halves(self) -> (Below, Above<'r>) {
        (self.below, self.above)
    }

    /// Its upper half, and in the place of the lower one what steers to shards, and these, each with its share of the limits.
    #[must_use]
    pub fn sharded(self, limits: &Limits, shares: &[usize]) -> (Steer, Vec<Shard>, Above<'r>) {
        let steer = Steer::new(limits);
        let shards = Shard::several(limits, steer.keys(), shares);
        (steer, shards, self.above)
    }

    /// What there is to tell of incidents since this was last asked; nothing but while live.
    pub fn news(&mut self) -> Vec<News> {
        self.catch_up();
        self.above.lessons.learned().desk.as_mut().map(Desk::take).unwrap_or_default()
    }

    /// All frames up to `at` were taken: what is due by then settles, though no frame says so.
    pub fn pass_time(&mut self, at: Timestamp) {
        let Self { below, above } = self;
        let Some(at) = below.pass_time(at) else { return };
        above.take(below.events().drain(..));
        above.pass_time(at);
    }

    /// From now on only a share of the connections is followed.
    pub fn follow(&mut self, share: Share) {
        self.catch_up();
        let Self { below, above } = self;
        let Some(at) = below.follow(share) else { return };
        above.correlator.follow(share == Share::ALL, at);
        above.take(below.events().drain(..));
    }

    /// Endpoints at which attempts were made, sorted; of those behind address translation also the names under which they are asked.
    #[must_use]
    pub fn upstreams(&self) -> Vec<Endpoint> {
        let Above { lessons, seen, .. } = &self.above;
        let findings = lessons.findings();
        let mut upstreams: Vec<Endpoint> =
            findings.stats.upstreams.sorted().into_iter().map(|(endpoint, _)| *endpoint).collect();
        let asked = seen.translations().filter(|(_, own)| upstreams.binary_search(own).is_ok());
        let asked: Vec<Endpoint> = asked.map(|(asked, _)| asked).collect();
        upstreams.extend(asked);
        upstreams.sort_unstable();
        upstreams.dedup();
        upstreams
    }

    /// All addresses of all gateways that are known, sorted.
    #[must_use]
    pub fn gateway_addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.above.correlator.gateways().groups().into_iter().flatten().collect();
        addresses.sort_unstable();
        addresses
    }

    /// What has been counted so far is given to `tell`.
    pub fn measured<T>(&self, tell: impl FnOnce(&Stats, &Totals, &Coverage) -> T) -> T {
        let Above { lessons, seen, .. } = &self.above;
        let findings = lessons.findings();
        let mut totals = findings.totals.clone();
        seen.tell(&mut totals);
        tell(&findings.stats, &totals, &seen.coverage(&self.below.passed()))
    }

    /// Secrets of TLS connections may come after the packets that they are for: these wait for them, a while.
    pub fn may_learn_late(&mut self) {
        self.below.may_learn_late();
    }

    /// Takes secrets of TLS connections.
    pub fn learn(&mut self, secrets: &[Entry]) {
        self.below.learn(secrets);
        self.catch_up();
    }

    /// Takes a frame. What it gives rise to is paired and judged with that of others, since that is cheaper: at the latest when
    /// something is asked for.
    #[inline(always)] // Nearly all is decided by what is at hand here.
    pub fn take(&mut self, captured: &Captured<'_>) {
        self.below.take(captured);
        if self.below.events().len() >= TOGETHER {
            self.catch_up();
        }
    }

    #[inline(never)]
    fn catch_up(&mut self) {
        self.above.take(self.below.events().drain(..));
        drop(self.above.lessons.learned());
    }

    /// The capture ended: everything settles.
    pub fn end(&mut self) {
        while self.below.end() {
            self.above.take(self.below.events().drain(..));
        }
        self.above.take(self.below.events().drain(..));
        self.above.end();
    }

    /// The report of a capture that ended. What is known of the inputs is the caller's to add.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.end();
        self.above.report(&self.below.passed())
    }
}

impl<'r> Above<'r> {
    /// Takes events.
    pub fn take(&mut self, events: impl Iterator<Item = Event>) {
        let Self { correlator, seen, lessons } = self;
        for event in events {
            seen.take(&event.what);
            correlator.take(event, &mut |finding| lessons.take(finding));
        }
    }

    /// Who may learn for it while he waits.
    #[must_use]
    pub fn learner(&self) -> Learner<'r> {
        self.lessons.learner()
    }

    fn pass_time(&mut self, at: Timestamp) {
        let Self { correlator, lessons, .. } = self;
        correlator.pass_time(at, &mut |finding| lessons.take(finding));
        let mut findings = lessons.learned();
        for incident in findings.diagnoser.overdue(at) {
            findings.keep(incident, None);
        }
    }

    /// The report, when all events were taken that the lower half gave out.
    #[must_use]
    pub fn finish(mut self, passed: &Passed) -> Report {
        self.end();
        self.report(passed)
    }

    fn end(&mut self) {
        let Self { correlator, lessons, .. } = self;
        correlator.finish(&mut |finding| lessons.take(finding));
        let findings = &mut *lessons.learned();
        for incident in findings.diagnoser.late_incidents(&mut findings.stats) {
            findings.keep(incident, None);
        }
        for told in findings.desk.as_mut().map(Desk::left).unwrap_or_default() {
            findings.keep(told.clone(), Some(told));
        }
    }

    fn report(self, passed: &Passed) -> Report {
        let Self { correlator, seen, lessons } = self;
        let coverage = seen.coverage(passed);
        let Findings {
            diagnoser,
            stats,
            differ,
            mut incidents,
            unlisted,
            beyond,
            most_incidents,
            mut totals,
            unmeasured,
            desk,
            ..
        } = lessons.end();
        incidents.sort_by_key(|incident| {
            let last = incident.evidence.last().map(|proof| proof.moment);
            (incident.time, last)
        });
        if desk.is_none() {
            for (index, incident) in incidents.iter_mut().enumerate() {
                incident.id = u32::try_from(index + 1).unwrap_or(u32::MAX);
            }
        }
        let episodes = episode::find(&mut incidents, &beyond, &stats);
        advice::advise(&mut incidents, &stats);
        let cut_heads = seen.tell(&mut totals);
        totals.half_closed = stats.half_closed;
        totals.tls_handshake_failures = stats.failed_handshakes;
        totals.health_probes = stats.probes;
        totals.unlisted_incidents += diagnoser.beyond;
        totals.unused_connections = diagnoser.unused_connections;
        let gateways = learned::gateways(correlator.gateways(), &diagnoser, &stats);
        let product_at = |address| diagnoser.product(address, correlator.gateways()).map(|known| known.product);
        let warnings = warning::find(&stats, &incidents, product_at);
        let mut notes: Vec<String> = diagnoser
            .remarks
            .iter()
            .take(MOST_REMARKS)
            .map(|(remark, count)| format!("{remark} ({count} ×)"))
            .collect();
        notes.extend(snaplen_note(cut_heads, unmeasured).into_iter().chain(http2_note(seen.lost_http2)));
        notes.extend(decryption_note(passed.secrets, seen.decrypted_tls, coverage.opaque_tls_connections));
        let given_up = passed.given_up;
        if given_up.connections > 0 {
            notes.push(format!(
                "{} connections were given up for want of memory: their failures may be missing",
                given_up.connections
            ));
        }
        if given_up.octets > 0 {
            notes.push(format!(
                "octets out of order, or header sections that did not end, were given up {} × for want of memory",
                given_up.octets
            ));
        }
        if correlator.hurried() > 0 {
            notes.push(format!(
                "{} exchanges were judged before all about them was in, for want of memory",
                correlator.hurried()
            ));
        }
        notes.extend(differ_note(differ.beyond));
        if totals.unlisted_incidents > 0 {
            notes.push(format!(
                "{} incidents beyond the first {} are counted, not listed",
                totals.unlisted_incidents, most_incidents
            ));
        }
        Report {
            inputs: Vec::new(),
            focus: None,
            capture_filter: None,
            coverage: Coverage { notes, ..coverage },
            totals,
            gateways,
            do_first: advice::do_first(&incidents, &beyond, &episodes, &stats),
            idle_times: learned::idle_times(&warning::worth_drawing(&incidents, &warnings), &stats),
            warnings,
            differs: differ.differences(),
            incidents,
            unlisted,
            episodes,
            upstreams: upstreams(&stats, &diagnoser),
            translations: seen.translations().collect(),
            latency: latency(&stats),
        }
    }
}

/// Events that go up together: while the code below runs, that above leaves the processor's caches, and so do its books.
const TOGETHER: usize = 512;
/// Remarks that are printed.
const MOST_REMARKS: usize = 8;
