//! Reports as a run might make them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::differ::Difference;
use crate::diagnose::incident::{
    Actor, Attempt, Candidate, Downstream, Episode, Evidence, Grade, Incident, Kind, Leg, Pairing, RuledOut, Step,
};
use crate::diagnose::product::Product;
use crate::event::{Endpoint, Frame, Moment};
use crate::report::{
    Coverage, Gateway, Habits, HalfClosed, IdleBin, IdleTimes, Input, Latency, Quantiles, Report, Spread, Style,
    Totals, Upstream,
};
use crate::stats::RoundTrips;
use crate::time::Timestamp;

/// 2026-11-20T10:29:10.541Z: the request of the first incident.
const ORIGIN_US: i64 = 1_795_170_550_541_000;

pub(crate) const CLIENT: &str = "10.77.1.2:40000";
pub(crate) const GATEWAY: &str = "10.77.1.1:8091";
const THERE: &str = "10.77.2.1:43246";
const POOLED: &str = "10.77.3.2:9600";
const SLOW: &str = "10.77.3.2:9000";

pub(crate) fn at(us: i64) -> Timestamp {
    Timestamp::from_nanos((ORIGIN_US + us) * 1000)
}

pub(crate) fn moment(n: u64, us: i64) -> Moment {
    Moment { at: at(us), frame: Frame::new(0, n) }
}

pub(crate) fn end(endpoint: &str) -> Endpoint {
    endpoint.parse().unwrap()
}

fn downstream(request: &str, status: Option<u16>, frames: (Moment, Moment)) -> Downstream {
    let (method, target) = request.split_once(' ').unwrap();
    Downstream {
        client: end(CLIENT),
        gateway: end(GATEWAY),
        stream: 1,
        exchange: 2,
        encrypted: false,
        method: Some(method.into()),
        target: Some(target.into()),
        host: Some("shop.example".into()),
        status,
        responder: status.map(|_| "nginx/1.22.1".into()),
        request: Some(frames.0),
        response: Some(frames.1),
        wait: Some(frames.1.at.since(frames.0.at)),
    }
}

fn attempt(upstream: &str, outcome: Option<Cause>, frames: [Moment; 3]) -> Attempt {
    Attempt {
        gateway: end(THERE),
        upstream: Some(end(upstream)),
        name: None,
        resolver: None,
        stream: Some(3),
        exchange: 2,
        reused: true,
        protocol: "http/1.1",
        method: Some("POST".into()),
        target: Some("/victim?card=4111".into()),
        status: None,
        outcome,
        grade: Grade::Proven,
        pairing: Pairing::Certain,
        idle: Some(Duration::from_micros(5_965_103)),
        request: Some(frames[0]),
        first: frames[1],
        last: frames[2],
        hop: 0,
    }
}

fn evidence(moment: Moment, leg: Leg, from: Actor, what: &str) -> Evidence {
    Evidence { moment, leg, from, what: what.into() }
}

fn step(moment: Moment, leg: Leg, from: Actor, what: &str, role: &str) -> Step {
    Step { moment, leg, from, what: what.into(), role: role.into() }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| (*one).to_owned()).collect()
}

fn incident(id: u32, kind: Kind, cause: Cause, time: Timestamp) -> Incident {
    Incident {
        id,
        kind,
        status: None,
        cause,
        detail: None,
        grade: Grade::Proven,
        summary: String::new(),
        why: String::new(),
        time,
        downstream: None,
        attempts: Vec::new(),
        product: Some(Product::Nginx),
        evidence: Vec::new(),
        ruled_out: Vec::new(),
        candidates: Vec::new(),
        not_known: Vec::new(),
        episode: None,
        likely_status: Vec::new(),
        log_lines: Vec::new(),
        advice: Vec::new(),
        ladder: Vec::new(),
    }
}

/// A POST on a connection that the upstream was just closing.
pub(crate) fn race() -> Incident {
    use Actor::{Client, Gateway, Upstream};
    let (asked, sent, fin, answer) = (moment(21, 0), moment(25, 212), moment(26, 36_924), moment(28, 37_512));
    let rst = moment(33, 80_421);
    Incident {
        status: Some(502),
        summary: "10.77.3.2:9600 closed the idle connection while the request was on its way; it never saw the request"
            .into(),
        why: "reused after 5.965 s idle; FIN crossed it (ack 64<152)".into(),
        downstream: Some(downstream("POST /victim?card=4111", Some(502), (asked, answer))),
        attempts: vec![attempt(POOLED, Some(Cause::KeepaliveRace), [sent, sent, moment(34, 117_220)])],
        evidence: vec![
            evidence(
                sent,
                Leg::Upstream,
                Gateway,
                "POST /victim?card=4111 is 64..152 on a connection idle for 5.965 s",
            ),
            evidence(fin, Leg::Upstream, Upstream, "FIN, ack 64: does not cover the request (64..152)"),
            evidence(
                rst,
                Leg::Upstream,
                Upstream,
                "RST, seq 131: refuses exactly that request, one round trip after it",
            ),
        ],
        ruled_out: vec![
            RuledOut { cause: Cause::ClosedWithoutResponse, because: "ack 64 < 152".into(), frame: Some(fin.frame) },
            RuledOut {
                cause: Cause::StaleReuse,
                because: "the FIN came 36.7 ms after the request".into(),
                frame: Some(fin.frame),
            },
            RuledOut { cause: Cause::RequestLost, because: "sent once, not repeated".into(), frame: None },
        ],
        not_known: strings(&["the configured idle timeouts", "whether the client tried again after the capture"]),
        likely_status: Vec::new(),
        log_lines: vec![
            (Product::Haproxy, "SH--"),
            (Product::Nginx, "upstream prematurely closed connection while reading response header from upstream"),
            (Product::Envoy, "UC"),
        ],
        advice: strings(&[
            "nginx: keepalive_timeout in the upstream block below 5.9 s (its default is 60 s).",
            "Or make 10.77.3.2:9600 keep idle connections for longer than the gateway does.",
        ]),
        ladder: vec![
            step(moment(11, -5_965_103), Leg::Upstream, Upstream, "200 OK (GET /warm)", "last good exchange"),
            step(asked, Leg::Downstream, Client, "POST /victim?card=4111", ""),
            step(sent, Leg::Upstream, Gateway, "POST /victim?card=4111 64..152", "reused connection"),
            step(fin, Leg::Upstream, Upstream, "FIN ack=64", "does not cover 152: sent before the request arrived"),
            step(moment(27, 37_020), Leg::Upstream, Gateway, "FIN ack=132", ""),
            step(answer, Leg::Downstream, Gateway, "502 Bad Gateway", "0.6 ms after the FIN"),
            step(rst, Leg::Upstream, Upstream, "RST seq=131", "answers #25, one round trip later"),
        ],
        ..incident(1, Kind::GatewayError, Cause::KeepaliveRace, answer.at)
    }
}

/// The same for a GET, which the gateway tried again.
pub(crate) fn masked() -> Incident {
    let (asked, sent, fin, answer) =
        (moment(22, 8_050_000), moment(23, 8_050_190), moment(24, 8_086_700), moment(35, 8_124_000));
    let again = Attempt {
        gateway: end("10.77.2.1:43250"),
        stream: Some(4),
        exchange: 1,
        reused: false,
        status: Some(200),
        idle: None,
        ..attempt(POOLED, None, [moment(30, 8_087_300), moment(27, 8_086_900), moment(34, 8_123_800)])
    };
    Incident {
        status: Some(200),
        summary: "10.77.3.2:9600 closed the idle connection while the request was on its way; a second attempt served the client".into(),
        why: "gateway retried on a new connection, +36 ms".into(),
        downstream: Some(downstream("GET /victim", Some(200), (asked, answer))),
        attempts: vec![attempt(POOLED, Some(Cause::KeepaliveRace), [sent, sent, moment(26, 8_086_800)]), again],
        evidence: vec![
            evidence(sent, Leg::Upstream, Actor::Gateway, "the request is 64..140"),
            evidence(fin, Leg::Upstream, Actor::Upstream, "FIN, ack 64: does not cover the request"),
        ],
        ladder: vec![
            step(asked, Leg::Downstream, Actor::Client, "GET /victim", ""),
            step(sent, Leg::Upstream, Actor::Gateway, "GET /victim 64..140", "reused connection"),
            step(fin, Leg::Upstream, Actor::Upstream, "FIN ack=64", "does not cover 140"),
            step(moment(27, 8_086_900), Leg::Upstream, Actor::Gateway, "SYN", ""),
            step(moment(30, 8_087_300), Leg::Upstream, Actor::Gateway, "GET /victim 0..76", "second attempt"),
            step(moment(34, 8_123_800), Leg::Upstream, Actor::Upstream, "200 OK", ""),
            step(answer, Leg::Downstream, Actor::Gateway, "200 OK", ""),
        ],
        ..incident(2, Kind::Masked, Cause::KeepaliveRace, answer.at)
    }
}

/// An answer that came after the gateway had given up.
pub(crate) fn timeout() -> Incident {
    use Actor::{Client, Gateway, Upstream};
    let (asked, sent, gave_up, answer, late) = (
        moment(8, 132_400_000),
        moment(11, 132_400_900),
        moment(13, 135_405_100),
        moment(12, 135_405_000),
        moment(18, 135_911_000),
    );
    Incident {
        status: Some(504),
        summary: "10.77.3.2:9000 had not answered after 3.003 s, when the gateway gave up; it answered 200 at 3.510 s"
            .into(),
        why: "gateway gave up at 3.003 s; upstream answered at 3.510".into(),
        downstream: Some(downstream("POST /slow", Some(504), (asked, answer))),
        attempts: vec![Attempt {
            reused: false,
            idle: None,
            stream: Some(7),
            exchange: 1,
            ..attempt(SLOW, Some(Cause::ResponseTimeout), [sent, moment(9, 132_400_200), late])
        }],
        evidence: vec![
            evidence(sent, Leg::Upstream, Gateway, "the request, acknowledged 0.1 ms later (#14)"),
            evidence(late, Leg::Upstream, Upstream, "200 OK, 0.506 s after the gateway had closed"),
        ],
        not_known: strings(&["why the upstream was slow"]),
        likely_status: Vec::new(),
        log_lines: vec![(
            Product::Nginx,
            "upstream timed out (110: Connection timed out) while reading response header from upstream",
        )],
        advice: strings(&["Find out why POST /slow takes 3.5 s before proxy_read_timeout is raised above 3 s."]),
        ladder: vec![
            step(asked, Leg::Downstream, Client, "POST /slow", ""),
            step(moment(9, 132_400_200), Leg::Upstream, Gateway, "SYN", ""),
            step(moment(10, 132_400_500), Leg::Upstream, Upstream, "SYN-ACK", ""),
            step(sent, Leg::Upstream, Gateway, "POST /slow 0..99", ""),
            step(answer, Leg::Downstream, Gateway, "504 Gateway Time-out", "gave up after 3.003 s"),
            step(gave_up, Leg::Upstream, Gateway, "FIN ack=0", ""),
            step(late, Leg::Upstream, Upstream, "200 OK", "late: nobody listens"),
        ],
        ..incident(3, Kind::GatewayError, Cause::ResponseTimeout, answer.at)
    }
}

/// Nothing was sent upstream.
pub(crate) fn no_attempt() -> Incident {
    let (asked, answer) = (moment(61, 199_652_000), moment(62, 199_652_300));
    Incident {
        status: Some(502),
        grade: Grade::Undetermined,
        summary: "the gateway answered by itself and sent nothing to any upstream".into(),
        why: "nothing was sent; candidates: unix socket, no live upstream, ports exhausted, breaker".into(),
        downstream: Some(downstream("GET /ok", Some(502), (asked, answer))),
        candidates: vec![
            Candidate { cause: None, what: "no live upstream: the gateway's log says so".into() },
            Candidate { cause: None, what: "an upstream on a unix socket: not visible to any capture".into() },
        ],
        episode: Some(1),
        ..incident(4, Kind::GatewayError, Cause::NoUpstreamAttempt, answer.at)
    }
}

/// The client did not wait.
pub(crate) fn abort() -> Incident {
    let (asked, left) = (moment(71, 201_000_000), moment(75, 202_400_000));
    Incident {
        summary: "the client closed 1.40 s after its request, before any answer".into(),
        why: "client's RST at 1.40 s precedes the gateway's".into(),
        downstream: Some(downstream("GET /report", None, (asked, left))),
        attempts: vec![attempt(
            "[2001:db8::1]:9600",
            Some(Cause::ClientAbort),
            [moment(72, 201_000_200), moment(72, 201_000_200), moment(76, 202_400_300)],
        )],
        evidence: vec![evidence(left, Leg::Downstream, Actor::Client, "RST")],
        ..incident(5, Kind::ClientAbort, Cause::ClientAbort, left.at)
    }
}

/// Bytes that were sent to harm the reader's terminal, or his spreadsheet.
pub(crate) fn hostile() -> Incident {
    let (asked, answer) = (moment(81, 203_000_000), moment(83, 203_001_000));
    let mut leg = downstream("GET /\u{1b}[2J?a=b", Some(502), (asked, answer));
    leg.method = Some("=HYPERLINK(\"http://x\",\"y\")".into());
    leg.host = Some("evil\u{9b}31m\u{202e}.example".into());
    leg.responder = Some("\u{7f}\u{2066}\r\n".into());
    Incident {
        status: Some(502),
        summary: "answered by bytes that are not HTTP: \u{1b}]0;owned\u{7}".into(),
        why: "-1+cmd|'/c calc'!A0".into(),
        downstream: Some(leg),
        ..incident(6, Kind::GatewayError, Cause::MalformedResponse, answer.at)
    }
}

fn quantiles(n: u64, us: [u64; 5]) -> Quantiles {
    let [p50_us, p90_us, p99_us, p999_us, max_us] = us;
    Quantiles { n, p50_us, p90_us, p99_us, p999_us, max_us }
}

fn upstream(endpoint: &str, attempts: u64, failed: &[(Cause, u64)]) -> Upstream {
    Upstream {
        endpoint: end(endpoint),
        attempts,
        failed: failed.iter().copied().collect(),
        health_probes: (0, 0),
        idle_close: None,
        longest_reuse: None,
        gave_up: None,
        announced_timeout: None,
        idle_close_clusters: Vec::new(),
        exchanges_before_close: None,
        half_closed: None,
        round_trip: None,
        segments: 0,
        retransmitted: 0,
        syns_retransmitted: 0,
        zero_windows: 0,
        latency: vec![
            ("connect", quantiles(19, [300, 300, 400, 400, 410])),
            ("wait", quantiles(attempts, [3_800, 21_000, 178_000, 990_000, 2_830_000])),
        ],
    }
}

/// Five incidents of five kinds.
pub(crate) fn report() -> Report {
    let ms = Duration::from_millis;
    let close = Spread { n: 214, min: ms(5_990), median: ms(6_000), max: ms(6_010) };
    Report {
        unlisted: BTreeMap::new(),
        inputs: vec![Input {
            name: "incident.pcap".into(),
            format: "pcap".into(),
            link_types: strings(&["LINUX_SLL2"]),
            packets: 612_004,
            bytes: 99_999_999,
            first: Some(at(-11_429_000)),
            last: Some(at(203_500_000)),
            ended: "complete".into(),
        }],
        focus: Some("port 8091".into()),
        coverage: Coverage { duplicates: 10, opaque_tls_connections: 3, ..Coverage::default() },
        totals: Totals {
            tcp_connections: 1_902,
            exchanges: 48_211,
            encrypted: 0,
            responses: BTreeMap::from([(200, 48_160), (404, 46), (502, 2), (504, 1)]),
            requests_seen: BTreeMap::from([("GET".into(), 96_000), ("POST".into(), 400)]),
            responses_seen: BTreeMap::from([(200, 96_390), (502, 2)]),
            gateway_errors: 3,
            upstream_failures: 0,
            masked: 1,
            client_aborts: 1,
            resets: 9,
            half_closed: 2,
            health_probes: (40, 3),
            ..Totals::default()
        },
        gateways: vec![Gateway {
            addresses: vec!["10.77.1.1".parse().unwrap(), "10.77.2.1".parse().unwrap()],
            product: Some("nginx".into()),
            product_evidence: Some("Server: nginx/1.22.1".into()),
            habits: Habits {
                idle_limit: Vec::new(),
                connect_timeout: vec![Spread { n: 2, min: ms(1_010), median: ms(1_400), max: ms(1_800) }],
                read_timeout: vec![Spread { n: 9, min: ms(3_000), median: ms(3_001), max: ms(3_004) }],
                hold_down: vec![Spread { n: 1, min: ms(10_000), median: ms(10_000), max: ms(10_000) }],
                retries: [(61, 61), (31, 0)],
            },
        }],
        incidents: vec![race(), masked(), timeout(), no_attempt(), abort()],
        episodes: vec![Episode {
            id: 1,
            kind: "backend_down",
            upstream: Some(end(SLOW)),
            upstreams: vec![end(SLOW)],
            first: at(135_405_000),
            last: at(199_652_300),
            served_again: None,
            incidents: vec![3, 4],
            summary: "after 10.77.3.2:9000 timed out, the gateway held it for dead".into(),
        }],
        upstreams: vec![
            Upstream { health_probes: (40, 3), ..upstream("[2001:db8::1]:9600", 41_000, &[]) },
            Upstream {
                idle_close: Some(close),
                longest_reuse: Some(ms(5_981)),
                announced_timeout: Some(ms(5_000)),
                half_closed: Some(HalfClosed { n: 2, by: "upstream", longest: ms(60_000), octets_after: 0 }),
                round_trip: Some(RoundTrips {
                    n: 19,
                    min: Duration::from_micros(250),
                    max: Duration::from_micros(410),
                    sum: Duration::from_micros(5700),
                }),
                segments: 824,
                retransmitted: 3,
                ..upstream(POOLED, 412, &[(Cause::KeepaliveRace, 2)])
            },
            Upstream {
                gave_up: Some(Spread { n: 1, min: ms(3_003), median: ms(3_003), max: ms(3_003) }),
                ..upstream(SLOW, 6_700, &[(Cause::ResponseTimeout, 1)])
            },
        ],
        latency: Latency {
            upstream_resolve: Quantiles::default(),
            client_wait: quantiles(48_170, [4_100, 22_000, 180_000, 1_010_000, 3_000_000]),
            upstream_connect: quantiles(1_902, [300, 400, 1_010_000, 5_110_000, 5_110_000]),
            upstream_tls: Quantiles::default(),
            upstream_wait: quantiles(48_112, [3_800, 21_000, 178_000, 990_000, 2_830_000]),
            gateway_added: quantiles(48_112, [200, 500, 1_900, 12_000, 41_000]),
            failed_wait: quantiles(3, [37_512, 3_005_000, 3_005_000, 3_005_000, 3_005_000]),
        },
        do_first: strings(&[
            "10.77.3.2:9600 closes idle connections after 6.00 s (n=214, 5.99 to 6.01); the gateway reuses them up to 5.98 s. 2 of 2 failures reused a connection idle for 5.93 to 6.00 s. Make the gateway's idle limit shorter than the upstream's.",
            "10.77.3.2:9000 takes longer than the 3.00 s for which the gateway waits.",
        ]),
        differs: vec![Difference {
            facet: "idle",
            value: "5 s to 6 s".into(),
            failed: 2,
            failed_of: 2,
            others: 640,
            others_of: 43_770,
        }],
        idle_times: vec![IdleTimes {
            upstream: end(POOLED),
            bins: vec![
                IdleBin {
                    from: ms(0),
                    to: Some(ms(1_000)),
                    reused: 41_020,
                    closed_by_gateway: 3,
                    ..IdleBin::default()
                },
                IdleBin { from: ms(1_000), to: Some(ms(5_000)), reused: 2_110, ..IdleBin::default() },
                IdleBin {
                    from: ms(5_000),
                    to: Some(ms(6_000)),
                    reused: 640,
                    failed: 31,
                    closed_by_upstream: 214,
                    ..IdleBin::default()
                },
                IdleBin { from: ms(6_000), ..IdleBin::default() },
            ],
        }],
        ..Report::default()
    }
}

/// The race, with each leg captured in a file of its own.
pub(crate) fn two_files() -> (Report, Style) {
    let mut incident = race();
    let there = |moment: &mut Moment| moment.frame = Frame::new(1, moment.frame.number());
    for attempt in &mut incident.attempts {
        attempt.request.iter_mut().chain([&mut attempt.first, &mut attempt.last]).for_each(there);
    }
    incident.evidence.iter_mut().filter(|one| one.leg == Leg::Upstream).for_each(|one| there(&mut one.moment));
    incident.ladder.iter_mut().filter(|one| one.leg == Leg::Upstream).for_each(|one| there(&mut one.moment));
    incident
        .ruled_out
        .iter_mut()
        .filter_map(|one| one.frame.as_mut())
        .for_each(|frame| *frame = Frame::new(1, frame.number()));
    let report = report();
    let second = Input {
        name: "upstream.pcapng".into(),
        format: "pcapng+zstd".into(),
        ended: "cut in the middle of a packet".into(),
        ..report.inputs[0].clone()
    };
    let inputs = vec![report.inputs[0].clone(), second];
    (
        Report { inputs, incidents: vec![incident], episodes: Vec::new(), ..report },
        Style { several_inputs: true, ..Style::default() },
    )
}

/// 90 races, among which one other failure must not drown.
pub(crate) fn many() -> Report {
    let mut incidents: Vec<Incident> = (0..90_u32)
        .map(|n| {
            let shift = Duration::from_secs(u64::from(n) * 1000);
            let kind = if n % 3 == 0 { Kind::GatewayError } else { Kind::Masked };
            Incident { kind, time: at(0) + shift, ..race() }
        })
        .collect();
    incidents.insert(47, Incident { time: at(46_500_000_000), ..timeout() });
    (1..).zip(&mut incidents).for_each(|(id, incident)| incident.id = id);
    Report { incidents, episodes: Vec::new(), ..report() }
}

/// Nothing failed.
pub(crate) fn calm() -> Report {
    let report = report();
    let totals = Totals {
        gateway_errors: 0,
        upstream_failures: 0,
        masked: 0,
        client_aborts: 0,
        responses: BTreeMap::from([(200, 48_211)]),
        ..report.totals
    };
    let upstreams = report.upstreams.into_iter().take(1).collect();
    let latency = Latency { failed_wait: Quantiles::default(), ..report.latency };
    Report {
        incidents: Vec::new(),
        episodes: Vec::new(),
        do_first: Vec::new(),
        totals,
        upstreams,
        latency,
        coverage: Coverage::default(),
        ..report
    }
}
