//! What comes of what the correlator gives out: incidents, and numbers.

use crate::analysis::TakeRow;
use crate::analysis::lessons::Lesson;
use crate::analysis::news::Desk;
use crate::analysis::rows::row;
use crate::correlate::served::{Leg, Lone, Served};
use crate::correlate::{Case, Note, Role};
use crate::diagnose::differ::Differ;
use crate::diagnose::episode::unlisted::Unlisted;
use crate::diagnose::incident::{Incident, Kind};
use crate::diagnose::{Diagnoser, Question};
use crate::event::Ending;
use crate::report::Totals;
use crate::report::tally::{self, Tallies};
use crate::stats::Stats;

/// What settled so far.
pub(super) struct Findings<'r> {
    pub(super) diagnoser: Diagnoser,
    pub(super) stats: Stats,
    pub(super) differ: Differ,
    pub(super) incidents: Vec<Incident>,
    pub(super) unlisted: Tallies,
    pub(super) beyond: Unlisted,
    pub(super) most_incidents: usize,
    pub(super) totals: Totals,
    /// Exchanges of the downstream legs whose response is of unknown length.
    pub(super) unmeasured: u64,
    /// While live. It gives identifiers in the order in which it tells.
    pub(super) desk: Option<Desk>,
    exchange_row: Option<TakeRow<'r>>,
}

impl<'r> Findings<'r> {
    pub(super) fn new(question: Question, most_incidents: usize, exchange_row: Option<TakeRow<'r>>) -> Self {
        Self {
            diagnoser: Diagnoser::new(question),
            stats: Stats::default(),
            differ: Differ::default(),
            incidents: Vec::new(),
            unlisted: Tallies::new(),
            beyond: Unlisted::default(),
            most_incidents,
            totals: Totals::default(),
            unmeasured: 0,
            desk: None,
            exchange_row,
        }
    }
}

impl Findings<'_> {
    /// Learns a lesson, which is empty then.
    #[inline(never)]
    pub(super) fn learn(&mut self, lesson: &mut Lesson) {
        let mut rest = lesson.attempts.as_slice();
        lesson.notes.iter().for_each(|note| self.learn_from(note, &mut rest));
        lesson.notes.clear();
        lesson.attempts.clear();
    }

    /// Learns from a note. `attempts` are those of this one and of the ones behind it.
    fn learn_from(&mut self, note: &Note, attempts: &mut &[Leg]) {
        match note {
            Note::Served(served) => {
                let (own, rest) = attempts.split_at_checked(served.attempts.into()).unwrap_or_default();
                *attempts = rest;
                self.learn_served(served, own);
            }
            Note::Lone(lone) => self.learn_lone(lone),
            Note::Missed(moment) => self.diagnoser.missed(*moment),
            Note::Accepted(endpoint, moment) => self.diagnoser.accepted(*endpoint, *moment),
            Note::Responded(server, how) => self.diagnoser.responded(*server, *how),
            Note::Secured(server, host) => self.diagnoser.secured(*server, host.as_deref()),
            Note::ClosedIdle(closed) => self.diagnoser.closed_idle(*closed, &mut self.stats),
            Note::Conversation(conversation) => self.stats.conversation(conversation),
            Note::Resolved { took, at } => {
                self.stats.upstream_resolve.note(*took);
                self.stats.resolved.note(*at);
            }
        }
    }

    fn learn_served(&mut self, served: &Served, attempts: &[Leg]) {
        let root = &served.root;
        self.count_exchange(root.response.as_ref().map(|response| response.status));
        let keys = std::iter::once(root.key).chain(attempts.iter().map(|attempt| attempt.key));
        let told = self.desk.as_mut().and_then(|desk| desk.told(keys));
        self.diagnoser.learn(served, attempts, &mut self.stats);
        self.differ.note_served(served, attempts, told.as_ref().map(|told| told.kind));
        // What was told stays told.
        if let Some(incident) = told {
            self.keep(incident.clone(), Some(incident));
        }
    }

    fn learn_lone(&mut self, lone: &Lone) {
        let leg = &lone.leg;
        // What was told stays told.
        let told = self.desk.as_mut().and_then(|desk| desk.told(std::iter::once(leg.key)));
        if self.diagnoser.answers_clients(leg.server) {
            self.count_exchange(leg.response.as_ref().map(|response| response.status));
            self.differ.note_asked(leg, told.as_ref().map(|told| told.kind));
        }
        self.diagnoser.learn_lone(lone, &mut self.stats);
        if let Some(incident) = told {
            self.keep(incident.clone(), Some(incident));
        }
    }

    /// Judges a case, by all that was learned so far.
    #[inline(never)] // Few are.
    pub(super) fn judge(&mut self, case: &mut Case<'_>) {
        self.diagnoser.take_stand(case);
        let downstream = self.count_case(case);
        let attempts = case.attempts.iter().map(|attempt| attempt.party.exchange.key);
        let keys = std::iter::once(case.root.exchange.key).chain(attempts);
        let told = self.desk.as_mut().and_then(|desk| desk.told(keys));
        // What was told stays told.
        let incident = self.diagnoser.judge(case, &mut self.stats).or_else(|| told.clone());
        if downstream {
            self.differ.note(case, incident.as_ref().map(|incident| incident.kind));
        }
        if let Some(incident) = incident {
            self.keep(incident, told);
        }
    }

    /// Tells of a failure that has not settled, as it looks so far.
    pub(super) fn preview(&mut self, case: &Case<'_>, contested: bool) {
        if let Some(desk) = self.desk.as_mut().filter(|desk| desk.has_room())
            && let Some(incident) = self.diagnoser.preview(case, contested)
        {
            desk.tell(case.root.exchange.key, incident);
        }
    }

    pub(super) fn keep(&mut self, mut incident: Incident, told: Option<Incident>) {
        if let Some(desk) = &mut self.desk {
            desk.settle(&mut incident, told);
            // A copy takes no more memory than it needs.
            incident = incident.clone();
        }
        match incident.kind {
            Kind::GatewayError => self.totals.gateway_errors += 1,
            Kind::UpstreamFailure => self.totals.upstream_failures += 1,
            Kind::Masked => self.totals.masked += 1,
            Kind::BrokenSuccess => self.totals.broken += 1,
            Kind::ClientAbort => self.totals.client_aborts += 1,
        }
        if self.incidents.len() < self.most_incidents {
            self.incidents.push(incident);
        } else {
            self.totals.unlisted_incidents += 1;
            tally::add(&mut self.unlisted, &incident);
            self.beyond.note(&incident);
        }
    }

    /// Whether it is a client's exchange.
    fn count_case(&mut self, case: &Case<'_>) -> bool {
        let exchange = case.root.exchange;
        let downstream = case.role == Role::Downstream || self.diagnoser.answers_clients(exchange.server);
        if !downstream || exchange.key.number == 0 {
            return false;
        }
        self.count_exchange(exchange.status());
        let encrypted = exchange.veiled.is_some();
        let unmeasured = !encrypted && exchange.response_end.is_some_and(|end| end.how == Ending::Unmeasured);
        self.unmeasured += u64::from(unmeasured);
        self.totals.encrypted += u64::from(encrypted);
        if let Some(write) = self.exchange_row.as_mut() {
            write(&row(case));
        }
        true
    }

    fn count_exchange(&mut self, status: Option<u16>) {
        self.totals.exchanges += 1;
        if let Some(status) = status {
            *self.totals.responses.entry(status).or_default() += 1;
        }
    }
}
