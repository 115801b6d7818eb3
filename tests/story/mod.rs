//! The stories of `captures/`: what was captured, and what has to be found in it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use netwatch502::capture::Source;
use netwatch502::diagnose::incident::{Attempt, Incident, Kind};
use netwatch502::report::Report;

use crate::packets::Packet;

/// The names of the folders, in the order of the alphabet.
pub(crate) fn names() -> Vec<String> {
    let folders = fs::read_dir("captures").unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = folders
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The capture, relative to the repository.
pub(crate) fn path(name: &str) -> String {
    format!("captures/{name}/capture.pcapng")
}

/// The packets of the capture.
pub(crate) fn packets(name: &str) -> Vec<Packet> {
    read(&[path(name)])
}

/// The packets of one or several files.
pub(crate) fn read(paths: &[String]) -> Vec<Packet> {
    let mut source = Source::open(paths).unwrap();
    let mut packets = Vec::new();
    while let Some(captured) = source.next() {
        packets.push(Packet::of(&captured));
    }
    packets
}

/// A line of an `expect` block, or what a report has to set against it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failure {
    pub(crate) status: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) cause: String,
    pub(crate) upstreams: BTreeSet<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, method, target, cause, upstreams } = self;
        write!(f, "{status} {method} {target} {cause}")?;
        let upstreams: Vec<&str> = upstreams.iter().map(String::as_str).collect();
        if upstreams.is_empty() { Ok(()) } else { write!(f, " upstream={}", upstreams.join(",")) }
    }
}

/// What has to be found.
pub(crate) fn expected(name: &str) -> Vec<Failure> {
    let story = fs::read_to_string(format!("captures/{name}/story.md")).unwrap();
    let (_, block) = story.split_once("```expect\n").expect("the story has no expect block");
    let (block, _) = block.split_once("\n```").expect("the expect block does not end");
    let mut failures: Vec<Failure> =
        block.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "none").map(line).collect();
    failures.sort();
    failures
}

fn line(line: &str) -> Failure {
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut word = || words.next().unwrap_or_else(|| panic!("“{line}” has too few words"));
    let (status, method, target, cause) = (word(), word(), word(), word());
    let upstreams = words.next().map(|word| {
        let list = word.strip_prefix("upstream=").unwrap_or_else(|| panic!("“{line}” ends in no upstream"));
        list.split(',').map(str::to_owned).collect()
    });
    Failure { status, method, target, cause, upstreams: upstreams.unwrap_or_default() }
}

/// What a report says, in the words of the `expect` block.
pub(crate) fn found(report: &Report) -> Vec<Failure> {
    let mut failures: Vec<Failure> = report.incidents.iter().map(failure).collect();
    failures.sort();
    failures
}

/// An incident in the words of the `expect` block. Where gateways stand behind each other, the last hop's attempts are
/// those that failed by themselves.
pub(crate) fn failure(incident: &Incident) -> Failure {
    let leg = incident.downstream.as_ref();
    let known = |text: Option<&Box<str>>| text.map_or("-".to_owned(), |text| text.to_string());
    // Where the client's leg is not visible, what was asked for stands on the other one.
    let asked = incident.attempts.last().filter(|_| incident.kind == Kind::UpstreamFailure);
    let last_hop = incident.attempts.iter().map(|attempt| attempt.hop).max();
    let failed = incident.attempts.iter().filter(|attempt| {
        Some(attempt.hop) == last_hop && (attempt.outcome.is_some() || incident.kind == Kind::ClientAbort)
    });
    Failure {
        status: match (incident.kind, incident.status) {
            (Kind::Masked, _) => "masked".to_owned(),
            (Kind::UpstreamFailure, _) => match incident.likely_status.as_slice() {
                [(_, status)] => format!("{status}?"),
                _ => "null".to_owned(),
            },
            (_, None) => "null".to_owned(),
            (_, Some(status)) => status.to_string(),
        },
        method: known(leg.map_or(asked.and_then(|asked| asked.method.as_ref()), |leg| leg.method.as_ref())),
        target: known(leg.map_or(asked.and_then(|asked| asked.target.as_ref()), |leg| leg.target.as_ref())),
        cause: incident.cause.id().to_owned(),
        upstreams: failed.filter_map(Attempt::destination).collect(),
    }
}
