//! What the kernel is asked for while live: at first all that may matter, then the gateway's legs, and of these as many
//! connections as there is processor time for.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::analysis::Analysis;
use crate::capture::live::Live;
use crate::capture::reach::{self, Legs};
use crate::cli::Cli;
use crate::flow::share::Share;
use crate::run::budget::Budget;
use crate::run::own;
use crate::run::say::say;

/// What is captured, and what is judged of it.
pub(super) struct Aim {
    /// What is judged; empty for everything.
    pub(super) expression: String,
    /// What the kernel hands over now.
    pub(super) filter: String,
    /// The legs that are captured as a whole, once they are known.
    pub(super) legs: Legs,
    /// What would be captured if there was time for all of it.
    reach: String,
    follows: bool,
    verbose: bool,
    share: Share,
    smallest: Share,
    budget: Option<Budget>,
    looked: Instant,
}

impl Aim {
    pub(super) fn new(cli: &Cli) -> Self {
        let expression = cli.expression.join(" ");
        let reach = if cli.exact_filter { expression.clone() } else { reach::wide() };
        Self {
            follows: !expression.is_empty() && !cli.exact_filter,
            expression,
            filter: reach.clone(),
            legs: Legs::default(),
            reach,
            verbose: cli.verbose,
            share: Share::ALL,
            smallest: Share::ALL,
            budget: cli.max_cpu.map(|percent| Budget::new(percent, own::usage().cpu)),
            looked: Instant::now(),
        }
    }

    /// Whether more is captured than is judged.
    pub(super) fn is_focus(&self) -> bool {
        self.follows
    }

    /// The part of the connections that is followed.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// Follows what was learned of the gateway, and keeps to the budget. To be called once a second.
    pub(super) fn look(&mut self, live: &Live, analysis: &mut Analysis<'_>) {
        let span = self.looked.elapsed();
        if span < SHORTEST_LOOK {
            return;
        }
        self.looked = Instant::now();
        let share = self.budget.as_mut().and_then(|budget| budget.look(own::usage().cpu, span)).unwrap_or(self.share);
        let legs = Legs { upstreams: analysis.upstreams(), backs: analysis.gateway_addresses() };
        if self.follows && legs != self.legs {
            self.reach = reach::narrow(&self.expression, &legs, &ephemeral_ports());
            self.legs = legs;
        }
        if share != self.share {
            // Also what the kernel has handed over already.
            analysis.follow(share);
            self.share = share;
            self.smallest = self.smallest.min(share);
            let rest =
                if share == Share::ALL { "all connections are followed again".to_owned() } else { left_out(share) };
            say(rest);
        }
        let filter = reach::within(&self.reach, self.share);
        if filter != self.filter {
            match live.refilter(filter.clone()) {
                Ok(()) => {
                    if self.verbose {
                        say(format_args!("capturing now: {filter}"));
                    }
                    self.filter = filter;
                }
                Err(error) => say(format_args!("the filter stays as it is: {error}")),
            }
        }
    }

    /// What was left out, if anything was.
    pub(super) fn note(&self) -> Option<String> {
        (self.smallest != Share::ALL).then(|| {
            format!(
                "for want of processor time (--max-cpu) at times only {} of {} connections were followed, chosen by their ports: \
                 counts are too small, and no verdict of these times is proven",
                self.smallest.parts(),
                Share::PARTS
            )
        })
    }
}

fn left_out(share: Share) -> String {
    format!(
        "more processor time is needed than --max-cpu allows: {} of {} connections are followed",
        share.parts(),
        Share::PARTS
    )
}

/// The ports that connections of this host come from.
fn ephemeral_ports() -> RangeInclusive<u16> {
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let range = told.and_then(|text| {
        let mut ports = text.split_whitespace().map(str::parse);
        Some(ports.next()?.ok()?..=ports.next()?.ok()?)
    });
    range.unwrap_or(1024..=u16::MAX)
}

/// Ticks may come late, and then two at once.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);
