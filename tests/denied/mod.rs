//! Verdicts that claim to be proven and are wrong, by the stories of `captures/`.

use std::collections::BTreeMap;

use netwatch502::diagnose::incident::Grade;
use netwatch502::limits::Limits;
use netwatch502::report::Report;

use crate::packets::{self, Packet};
use crate::story::{self, Failure};

/// Every story's packets, and what has to be found in them.
pub(crate) fn stories() -> Vec<(String, Vec<Packet>, Vec<Failure>)> {
    story::names()
        .into_iter()
        .map(|name| {
            let (packets, expected) = (story::packets(&name), story::expected(&name));
            (name, packets, expected)
        })
        .collect()
}

/// Verdicts graded `proven` that the story denies. A request that the story does not list was answered well; where the
/// request was not seen, the cause must be one of the story's.
fn denied(report: &Report, expected: &[Failure]) -> Vec<String> {
    let proven = report.incidents.iter().filter(|incident| incident.grade == Grade::Proven);
    let wrong = proven.filter(|incident| {
        let said = story::failure(incident);
        let same_request =
            |line: &&Failure| said.target == "-" || (line.method == said.method && line.target == said.target);
        !expected.iter().filter(same_request).any(|line| line.cause == said.cause)
    });
    wrong
        .map(|incident| {
            let proof = incident.evidence.iter().map(|proof| format!("{}: {}", proof.moment.frame, proof.what));
            format!("{} ({}; {})", story::failure(incident), incident.why, proof.collect::<Vec<_>>().join("; "))
        })
        .collect()
}

/// Wrong proofs by story and kind of damage, with the first damage that led to each.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    cases: BTreeMap<(String, String), (usize, String)>,
}

impl Denied {
    /// Looks for wrong proofs in what is left of a story's packets.
    pub(crate) fn judge<'p>(
        &mut self,
        name: &str,
        damage: &dyn Fn() -> String,
        packets: impl IntoIterator<Item = &'p Packet>,
        expected: &[Failure],
    ) {
        let report = packets::analyse(packets, &Limits::default());
        for wrong in denied(&report, expected) {
            let verdict = wrong.split(" (").next().unwrap_or_default().to_owned();
            let case =
                self.cases.entry((name.to_owned(), verdict)).or_insert_with(|| (0, format!("{}: {wrong}", damage())));
            case.0 += 1;
        }
    }

    /// No proof was wrong.
    pub(crate) fn check(&self) {
        let listed: Vec<String> = self
            .cases
            .iter()
            .map(|((name, verdict), (count, first))| format!("{name}: {verdict}, {count} ×, first by {first}"))
            .collect();
        assert!(listed.is_empty(), "proven, and wrong:\n  {}\n", listed.join("\n  "));
    }
}

/// The two ends of a packet's connection, its sender first.
pub(crate) fn ends(packet: &Packet) -> Option<[String; 2]> {
    let decoded = netwatch502::wire::packet::decode(
        netwatch502::wire::link::LinkType(packet.link),
        &packet.octets,
        packet.length,
    );
    let decoded = decoded.ok()?;
    let netwatch502::wire::packet::Content::Tcp(tcp) = &decoded.content else { return None };
    Some([
        format!("{}:{}", decoded.source, tcp.source_port),
        format!("{}:{}", decoded.destination, tcp.destination_port),
    ])
}
