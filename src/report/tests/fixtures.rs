//! Reports as a run might make them.

mod incidents;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::differ::Difference;
use crate::diagnose::incident::{Episode, Incident, Kind, Leg};
use crate::event::{Endpoint, Frame, Moment};
pub(crate) use crate::report::tests::fixtures::incidents::{abort, hostile, masked, no_attempt, race, timeout};
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

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| (*one).to_owned()).collect()
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
            clock: None,
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
