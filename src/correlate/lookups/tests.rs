use super::*;
use crate::correlate::lookup::Outcome;
use crate::event::Endpoint;
use crate::time::Frame;

const GATEWAY: &str = "10.0.0.1:4000";
const SERVER: &str = "10.0.0.53:53";
const OTHER: &str = "10.0.0.54:53";

/// Messages, each with its time in milliseconds; a frame each.
#[derive(Default)]
struct Ladder {
    lookups: Lookups,
    frame: u64,
    found: Vec<String>,
}

impl Ladder {
    fn moment(&mut self, ms: i64) -> Moment {
        self.frame += 1;
        Moment { at: Timestamp::from_nanos(ms * 1_000_000), frame: Frame::new(0, self.frame) }
    }

    fn take(&mut self, ms: i64, (client, server): (&str, &str), id: u16, asked: &str, answer: Option<(Code, &[&str])>) {
        let (kind, name) = asked.split_once(' ').unwrap();
        let kind = match kind {
            "A" => RecordKind::A,
            "AAAA" => RecordKind::AAAA,
            _ => RecordKind::SRV,
        };
        let (code, addresses) = answer.unwrap_or((Code::NOERROR, &[]));
        let message = Message {
            id,
            response: answer.is_some(),
            code,
            truncated: false,
            name: name.into(),
            kind,
            addresses: addresses.iter().filter_map(|address| address.parse().ok()).collect(),
            aliases: SmallVec::new(),
            answers: addresses.len() as u16,
            lifetime: None,
            reason: None,
            cut: addresses.contains(&"cut"),
        };
        let message = Message { truncated: addresses.contains(&"TC"), ..message };
        let end = |text: &str| text.parse::<Endpoint>().unwrap();
        let told = Told { client: end(client), server: end(server), tcp: false, local: None, message };
        let moment = self.moment(ms);
        self.found.extend(self.lookups.take(moment, told).map(|lookup| lookup.name.to_string()));
    }

    fn ask(&mut self, ms: i64, way: (&str, &str), id: u16, asked: &str) {
        self.take(ms, way, id, asked, None);
    }

    fn answer(&mut self, ms: i64, way: (&str, &str), id: u16, asked: &str, code: Code, addresses: &[&str]) {
        self.take(ms, way, id, asked, Some((code, addresses)));
    }

    /// Asks and has it answered at once.
    fn look_up(&mut self, ms: i64, id: u16, asked: &str, code: Code, addresses: &[&str]) {
        self.ask(ms, (GATEWAY, SERVER), id, asked);
        self.answer(ms + 1, (GATEWAY, SERVER), id, asked, code, addresses);
    }

    /// Each lookup as its queries, how often they were put, and what had come of it at `ms`.
    fn told(&mut self, ms: i64) -> Vec<String> {
        let until = self.moment(ms);
        let told = |lookup: &Lookup| {
            let outcome = match lookup.outcome(until) {
                Outcome::Found => "found",
                Outcome::NoName(_) => "no name",
                Outcome::NoAddress(_) => "no address",
                Outcome::Failed(_) => "failed",
                Outcome::Split(_) => "split",
                Outcome::Rejected(_) => "rejected",
                Outcome::Silent(_) => "silent",
            };
            let queries = lookup.queries.iter().map(|query| format!("{} {}", query.kind, query.name));
            format!("{} ({} ×): {outcome}", queries.collect::<Vec<_>>().join(", "), lookup.times(until))
        };
        let mut told: Vec<String> = self.lookups.before(until).map(told).collect();
        told.reverse();
        told
    }
}

#[test]
fn both_families_of_a_name_are_one_lookup() {
    let mut ladder = Ladder::default();
    ladder.ask(0, (GATEWAY, SERVER), 1, "A app.lab");
    ladder.ask(0, (GATEWAY, SERVER), 2, "AAAA app.lab");
    ladder.answer(1, (GATEWAY, SERVER), 2, "AAAA app.lab", Code::NOERROR, &[]);
    assert_eq!(ladder.told(500), ["A app.lab, AAAA app.lab (1 ×): silent"]);
    ladder.answer(510, (GATEWAY, SERVER), 1, "A app.lab", Code::NOERROR, &["10.1.1.1"]);
    assert_eq!(ladder.told(511), ["A app.lab, AAAA app.lab (1 ×): found"]);
    assert_eq!(ladder.found, ["app.lab"]);
}

#[test]
fn a_family_that_fails_is_why_although_the_other_one_is_merely_empty() {
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::NOERROR, &[]);
    ladder.look_up(2, 2, "AAAA app.lab", Code::SERVFAIL, &[]);
    assert_eq!(ladder.told(4), ["A app.lab, AAAA app.lab (1 ×): failed"]);
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::NOERROR, &["10.1.1.1"]);
    ladder.look_up(2, 2, "AAAA app.lab", Code::SERVFAIL, &[]);
    assert_eq!(ladder.told(4), ["A app.lab, AAAA app.lab (1 ×): split"], "not everybody makes do with one");
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::NOERROR, &[]);
    ladder.look_up(2, 2, "AAAA app.lab", Code::NOERROR, &[]);
    assert_eq!(ladder.told(4), ["A app.lab, AAAA app.lab (1 ×): no address"]);
}

#[test]
fn repetitions_are_the_same_lookup_and_new_questions_are_not() {
    let mut ladder = Ladder::default();
    for (ms, client, id) in [(0, GATEWAY, 1), (5000, GATEWAY, 1), (10_000, "10.0.0.1:4001", 2)] {
        ladder.ask(ms, (client, SERVER), id, "A app.lab");
    }
    assert_eq!(ladder.told(12_000), ["A app.lab, A app.lab (3 ×): silent"]);
    ladder.answer(12_000, ("10.0.0.1:4001", SERVER), 2, "A app.lab", Code::NXDOMAIN, &[]);
    ladder.look_up(12_010, 3, "A app.lab", Code::NXDOMAIN, &[]);
    assert_eq!(
        ladder.told(12_020),
        ["A app.lab, A app.lab (3 ×): no name", "A app.lab (1 ×): no name"],
        "what was answered is asked anew"
    );
}

#[test]
fn another_number_from_the_same_port_asks_anew() {
    let mut ladder = Ladder::default();
    for (ms, id) in [(0, 1), (2200, 3), (4400, 5), (9400, 5)] {
        ladder.ask(ms, (GATEWAY, SERVER), id, "A app.lab");
        ladder.ask(ms, (GATEWAY, SERVER), id + 1, "AAAA app.lab");
    }
    let told = ["A app.lab, AAAA app.lab (1 ×): silent", "A app.lab, AAAA app.lab (1 ×): silent"];
    assert_eq!(ladder.told(9500), [told[0], told[1], "A app.lab, AAAA app.lab (2 ×): silent"]);
}

#[test]
fn nobody_waits_for_longer_than_a_gateway_may() {
    let mut ladder = Ladder::default();
    for nth in 0..40 {
        ladder.ask(nth * 5000, (&format!("10.0.0.1:{}", 4000 + nth), SERVER), nth as u16, "A app.lab");
    }
    assert_eq!(ladder.told(200_000).len(), 2, "a name server that is away for minutes is no one lookup");
}

#[test]
fn another_server_is_asked_when_one_is_silent_or_fails() {
    let mut ladder = Ladder::default();
    ladder.ask(0, (GATEWAY, SERVER), 1, "A app.lab");
    ladder.ask(2000, (GATEWAY, OTHER), 2, "A app.lab");
    ladder.answer(2001, (GATEWAY, OTHER), 2, "A app.lab", Code::SERVFAIL, &[]);
    assert_eq!(ladder.told(2002), ["A app.lab, A app.lab (2 ×): failed"]);
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::SERVFAIL, &[]);
    ladder.ask(2, (GATEWAY, OTHER), 2, "A app.lab");
    ladder.answer(3, (GATEWAY, OTHER), 2, "A app.lab", Code::NXDOMAIN, &[]);
    assert_eq!(ladder.told(4), ["A app.lab, A app.lab (2 ×): no name"], "a definite answer outweighs a failure");
}

#[test]
fn search_domains_that_lead_nowhere_count_for_nothing() {
    let mut ladder = Ladder::default();
    for (nth, domain) in [".shop.svc.lab", ".svc.lab", ".lab"].iter().enumerate() {
        ladder.look_up(nth as i64 * 2, nth as u16, &format!("A app{domain}"), Code::NXDOMAIN, &[]);
    }
    ladder.look_up(6, 9, "A app", Code::NOERROR, &["10.1.1.1"]);
    let told = "A app.shop.svc.lab, A app.svc.lab, A app.lab, A app (1 ×)";
    assert_eq!(ladder.told(8), [format!("{told}: found")]);
    ladder.look_up(2000, 10, "A app.shop.svc.lab", Code::NXDOMAIN, &[]);
    ladder.look_up(2002, 11, "A app", Code::SERVFAIL, &[]);
    assert_eq!(ladder.told(2004).last().unwrap(), "A app.shop.svc.lab, A app (1 ×): failed", "the last one counts");
}

#[test]
fn other_hosts_are_no_search_domains() {
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A www.one.lab", Code::NXDOMAIN, &[]);
    ladder.look_up(2, 2, "A api.one.lab", Code::NXDOMAIN, &[]);
    ladder.look_up(4, 3, "A api.two.example", Code::NOERROR, &["10.1.1.1"]);
    let expected = ["A www.one.lab (1 ×): no name", "A api.one.lab (1 ×): no name", "A api.two.example (1 ×): found"];
    assert_eq!(ladder.told(6), expected);
}

#[test]
fn a_stub_that_asks_on_is_part_of_the_lookup() {
    let (stub, forwarder) = ("127.0.0.53:53", "10.0.0.1:5000");
    let mut ladder = Ladder::default();
    ladder.ask(0, ("127.0.0.1:4000", stub), 1, "A app.lab");
    ladder.ask(1, (forwarder, SERVER), 7, "A app.lab");
    ladder.ask(2, ("10.0.0.9:5000", SERVER), 7, "A app.lab");
    ladder.answer(3, (forwarder, SERVER), 7, "A app.lab", Code::NXDOMAIN, &[]);
    ladder.answer(4, ("127.0.0.1:4000", stub), 1, "A app.lab", Code::NXDOMAIN, &[]);
    let expected = ["A app.lab, A app.lab (1 ×): no name", "A app.lab (1 ×): silent"];
    assert_eq!(ladder.told(5), expected, "somebody else's question is not");
}

#[test]
fn an_answer_that_was_cut_short_is_none() {
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::NOERROR, &["TC"]);
    assert_eq!(ladder.told(2000), ["A app.lab (1 ×): silent"]);
    ladder.ask(2, (GATEWAY, OTHER), 2, "A app.lab");
    ladder.answer(3, (GATEWAY, OTHER), 2, "A app.lab", Code::NOERROR, &["10.1.1.1"]);
    assert_eq!(ladder.told(2000), ["A app.lab, A app.lab (2 ×): found"]);
}

#[test]
fn an_answer_that_the_snaplen_cut_is_not_taken_for_an_empty_one() {
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::NOERROR, &["cut"]);
    assert_eq!(ladder.told(2), ["A app.lab (1 ×): found"]);
}

#[test]
fn an_address_that_the_latest_answer_lacks_is_outdated() {
    let mut ladder = Ladder::default();
    ladder.look_up(0, 1, "A app.lab", Code::NOERROR, &["10.1.1.1", "10.1.1.2"]);
    ladder.look_up(1000, 2, "AAAA app.lab", Code::NOERROR, &["2001:db8::1"]);
    let outdated = |ladder: &Ladder, address: &str| -> Vec<String> {
        ladder.lookups.outdated(address.parse().unwrap()).iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    assert_eq!(outdated(&ladder, "10.1.1.1"), [""; 0], "the other family says nothing of it");
    ladder.look_up(2000, 3, "A app.lab", Code::NOERROR, &["10.1.1.2", "10.1.1.3"]);
    assert_eq!(outdated(&ladder, "10.1.1.1"), ["app.lab"]);
    assert_eq!(outdated(&ladder, "10.1.1.2"), [""; 0]);
    ladder.look_up(3000, 4, "A app.lab", Code::NOERROR, &["10.1.1.1"]);
    assert_eq!(outdated(&ladder, "10.1.1.1"), [""; 0], "it is back");
    assert_eq!(ladder.lookups.addresses("app.lab").unwrap().now.len(), 2);
}

#[test]
fn memory_is_bounded_whatever_is_asked() {
    let mut ladder = Ladder::default();
    for n in 0..20_000_u32 {
        ladder.look_up(i64::from(n), n as u16, &format!("A host-{n}.lab"), Code::NOERROR, &["10.1.1.1"]);
        ladder.ask(i64::from(n), ("10.0.0.7:9", SERVER), n as u16, "A same.lab");
    }
    let Lookups { recent, by_name, latest, addresses, .. } = &ladder.lookups;
    assert!(
        recent.len() <= MOST_LOOKUPS && by_name.len() <= 2 * MOST_LOOKUPS + 1,
        "{} {}",
        recent.len(),
        by_name.len()
    );
    assert!(latest.len() <= MOST_LOOKUPS && addresses.len() <= MOST_NAMES);
    assert!(recent.iter().all(|lookup| lookup.queries.len() <= MOST_QUERIES));
}
