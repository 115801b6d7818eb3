//! What the failing exchanges have in common that the others do not: by upstream, path, method, connection and time. A fact
//! is told only where chance does not explain it, however many facts were looked at.

mod chance;
mod facet;
mod paths;

use std::time::Duration;

use crate::correlate::by_place::ByPlace;
use crate::correlate::conversation::Place;
use crate::correlate::served::{Leg, Served};
use crate::correlate::{Case, Party, Try};
use crate::diagnose::differ::chance::{hypergeometric_tail, wilson};
use crate::diagnose::differ::facet::{BUCKETED, Facet, Slot, method, slot, value};
use crate::diagnose::differ::paths::Paths;
use crate::diagnose::incident::Kind;
use crate::event::{Endpoint, Request};
use crate::time::Timestamp;

/// Something that failing exchanges have in common.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What was looked at: `upstream`, `path`, …
    pub facet: &'static str,
    /// What it is in these.
    pub value: String,
    /// Failing exchanges of which it is true.
    pub failed: u64,
    /// Failing exchanges of which it is known.
    pub failed_of: u64,
    /// Exchanges in order of which it is true.
    pub others: u64,
    /// Exchanges in order of which it is known.
    pub others_of: u64,
}

/// What is compared of a client's exchange.
struct Traits<'a> {
    failed: bool,
    started: Timestamp,
    request: Option<&'a Request>,
    /// Octets of the request.
    size: Option<u64>,
    attempt: Option<Attempt>,
}

/// The attempt that decided on it.
#[derive(Clone, Copy)]
struct Attempt {
    /// Which exchange of its connection; 0 for one that never opened.
    number: u32,
    server: Endpoint,
    place: Place,
    /// How old the connection was.
    age: Duration,
    /// For how long it had been idle.
    idle: Option<Duration>,
}

/// Exchanges, and those of them that failed.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    failed: u64,
}

/// Counts of exchanges by what they have in common; some 200 KB at most.
#[derive(Debug)]
pub struct Differ {
    upstreams: ByPlace<Count>,
    paths: Paths,
    bucketed: [[Count; Slot::MOST]; BUCKETED.len()],
    spanned: Option<(Timestamp, Timestamp)>,
    /// Exchanges whose upstream or path was one too many.
    pub beyond: u64,
}

impl Default for Differ {
    fn default() -> Self {
        Self {
            upstreams: ByPlace::default(),
            paths: Paths::default(),
            bucketed: [[Count::default(); Slot::MOST]; BUCKETED.len()],
            spanned: None,
            beyond: 0,
        }
    }
}

impl Differ {
    /// Notes a client's exchange, and how it failed if it did.
    pub fn note(&mut self, case: &Case<'_>, kind: Option<Kind>) {
        if kind == Some(Kind::ClientAbort) {
            return;
        }
        let mut own = case.attempts.iter().filter(|attempt| attempt.hop == 0);
        let attempt = if kind == Some(Kind::Masked) { own.next() } else { own.next_back() };
        let asked = case.root.exchange;
        let attempt_of = |attempt: &Try<'_>| {
            let Party { exchange, conversation } = attempt.party;
            Attempt {
                number: exchange.key.number,
                server: exchange.server,
                place: exchange.place,
                age: exchange.started.at.since(conversation.opened.at),
                idle: exchange.idle,
            }
        };
        self.note_traits(&Traits {
            failed: kind.is_some(),
            started: asked.started.at,
            request: asked.request.as_ref(),
            size: asked.request_size(),
            attempt: attempt.map(attempt_of),
        });
    }

    /// Notes a client's exchange that was served, and the failure that was told of it before, if any was.
    pub fn note_served(&mut self, served: &Served, attempts: &[Leg], told: Option<Kind>) {
        self.note_leg(&served.root, attempts.first(), told);
    }

    /// The same of one that no attempts were found for.
    pub fn note_asked(&mut self, asked: &Leg, told: Option<Kind>) {
        self.note_leg(asked, None, told);
    }

    fn note_leg(&mut self, root: &Leg, attempt: Option<&Leg>, told: Option<Kind>) {
        if told == Some(Kind::ClientAbort) {
            return;
        }
        let attempt_of = |leg: &Leg| Attempt {
            number: leg.key.number,
            server: leg.server,
            place: leg.place,
            age: leg.started.since(leg.opened),
            idle: leg.idle,
        };
        self.note_traits(&Traits {
            failed: told.is_some(),
            started: root.started,
            request: root.request.as_ref(),
            size: root.size,
            attempt: attempt.map(attempt_of),
        });
    }

    fn note_traits(&mut self, traits: &Traits<'_>) {
        let Traits { failed, started, request, size, attempt } = traits;
        let Self { upstreams, paths, bucketed, spanned, beyond } = self;
        let (first, last) = spanned.get_or_insert((*started, *started));
        (*first, *last) = ((*first).min(*started), (*last).max(*started));
        let mut bucket = |facet: Facet, slot: usize| {
            if let Some(count) = bucketed.get_mut(facet as usize).and_then(|slots| slots.get_mut(slot)) {
                count.note(*failed);
            }
        };
        if let Some(request) = request {
            bucket(Facet::Method, method(request.method()));
            if let Some(size) = size {
                bucket(Facet::Size, slot(Facet::Size, *size));
            }
            match paths.of(request) {
                Some(count) => count.note(*failed),
                None => *beyond += 1,
            }
        }
        let (hour, minute) = facet::time_of_day(*started);
        bucket(Facet::Hour, hour);
        bucket(Facet::Minute, minute);
        let Some(Attempt { number, server, place, age, idle }) = *attempt else { return };
        match upstreams.entry(place, server, MOST_UPSTREAMS) {
            Some(count) => count.note(*failed),
            None => *beyond += 1,
        }
        if number == 0 {
            // A connection that never opened has neither age nor number.
            return;
        }
        bucket(Facet::Age, slot(Facet::Age, millis(age)));
        bucket(Facet::Number, slot(Facet::Number, u64::from(number)));
        if let Some(idle) = idle {
            bucket(Facet::Idle, slot(Facet::Idle, millis(idle)));
        }
    }

    /// The few facts that set failing exchanges apart, the clearest one first.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let mut found: Vec<(f64, Difference)> = Vec::new();
        let mut looked_at = 0_u64;
        let mut best = |facet: &'static str, values: Vec<(String, Count)>, whole: Count| {
            looked_at += values.len() as u64;
            let judged = values.into_iter().filter_map(|(value, count)| Some((chance_of(count, whole)?, value, count)));
            let clearest = judged.min_by(|one, other| one.0.total_cmp(&other.0));
            found.extend(clearest.map(|(chance, value, count)| {
                let others_of = whole.all - whole.failed;
                let (failed, others) = (count.failed, count.all - count.failed);
                (chance, Difference { facet, value, failed, failed_of: whole.failed, others, others_of })
            }));
        };
        let upstreams: Vec<(String, Count)> =
            self.upstreams.iter().map(|(endpoint, count)| (endpoint.to_string(), *count)).collect();
        best("upstream", sorted(upstreams.clone()), sum(&upstreams));
        let paths: Vec<(String, Count)> = self.paths.all().map(|(name, count)| (name.to_owned(), count)).collect();
        best("path", sorted(paths.clone()), sum(&paths));
        let long = self.spanned.map_or(Duration::ZERO, |(first, last)| last.since(first)) >= LONG;
        for (facet, slots) in BUCKETED.iter().zip(&self.bucketed) {
            if matches!(facet, Facet::Hour | Facet::Minute) && !long {
                continue;
            }
            let named: Vec<(String, Count)> =
                slots.iter().enumerate().map(|(index, count)| (value(*facet, index, false), *count)).collect();
            let whole = sum(&named);
            let mut values = named;
            if facet.is_ordered() {
                // From a slot upwards: what fails late fails later, too.
                let upwards = (1..slots.len().saturating_sub(1)).map(|from| {
                    let above: Vec<(String, Count)> =
                        slots.iter().skip(from).map(|count| (String::new(), *count)).collect();
                    (value(*facet, from, true), sum(&above))
                });
                values.extend(upwards.collect::<Vec<_>>());
            }
            values.retain(|(_, count)| count.all > 0);
            best(facet.id(), values, whole);
        }
        let bound = MOST_CHANCE / looked_at.max(1) as f64;
        found.retain(|(chance, _)| *chance <= bound);
        found.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.facet.cmp(other.1.facet)));
        // Age, number and idle time of a connection say much the same.
        let mut of_connection = 0;
        found.retain(|(_, difference)| {
            let is_one = matches!(difference.facet, "idle" | "connection_age" | "exchange_on_connection");
            of_connection += usize::from(is_one);
            !is_one || of_connection == 1
        });
        found.into_iter().take(MOST_DIFFERENCES).map(|(_, difference)| difference).collect()
    }
}

impl Count {
    fn note(&mut self, failed: bool) {
        self.all += 1;
        self.failed += u64::from(failed);
    }
}

/// How likely chance alone had put as many failures there; `None` where there are too few, or the difference is too small to
/// help anybody.
fn chance_of(count: Count, whole: Count) -> Option<f64> {
    let outside = Count { all: whole.all - count.all, failed: whole.failed - count.failed };
    if count.failed < FEWEST || outside.all == 0 || count.failed * 3 < whole.failed {
        return None;
    }
    let (least, _) = wilson(count.failed, count.all);
    let (_, most) = wilson(outside.failed, outside.all);
    if least < LIFT * most && outside.failed > 0 || least <= most {
        return None;
    }
    Some(hypergeometric_tail(count.failed, count.all, whole.failed, whole.all))
}

fn sum(values: &[(String, Count)]) -> Count {
    values
        .iter()
        .fold(Count::default(), |sum, (_, count)| Count { all: sum.all + count.all, failed: sum.failed + count.failed })
}

/// The same in every run.
fn sorted(mut values: Vec<(String, Count)>) -> Vec<(String, Count)> {
    values.sort_by(|one, other| one.0.cmp(&other.0));
    values
}

fn millis(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1000).saturating_add(span.subsec_millis().into())
}

/// Differences at most: a few facts help, many hide each other.
const MOST_DIFFERENCES: usize = 5;
/// Fewer failures than this have nothing in common but chance.
const FEWEST: u64 = 5;
/// The rate of failures there is at least so many times what it is elsewhere, both as far from each other as 95 % allow.
const LIFT: f64 = 1.5;
/// How likely chance alone may have made up one fact or more of all that were looked at.
const MOST_CHANCE: f64 = 0.001;
/// From this span on the time of day may be a reason.
const LONG: Duration = Duration::from_secs(2 * 3600);
/// Upstreams that are told apart.
const MOST_UPSTREAMS: usize = 512;
