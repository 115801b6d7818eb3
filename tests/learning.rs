//! What many exchanges teach: timers before they cost a request, events behind failures, what failing requests share; and
//! that chance is none of these.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::time::Duration;

use netwatch502::diagnose::incident::Episode;
use netwatch502::limits::Limits;
use netwatch502::report::Report;

fn told(name: &str) -> Report {
    packets::analyse(&story::packets(name), &Limits::default())
}

/// Spans that the story's programs logged: what stands before `after` in the lines that have it.
fn logged(name: &str, before: &str, after: &str) -> Vec<f64> {
    let told = std::fs::read_to_string(story::path(name).replace("capture.pcapng", "story.md")).unwrap();
    told.lines().filter_map(|line| line.split_once(before)?.1.split_once(after)?.0.trim().parse().ok()).collect()
}

fn near(measured: u64, truth: f64) -> bool {
    (Duration::from_micros(measured).as_secs_f64() - truth).abs() <= 0.05
}

#[test]
fn a_race_that_waits_is_told_with_both_timers_before_anything_failed() {
    let name = "nginx-node-race-waits";
    let report = told(name);
    assert!(report.incidents.is_empty());
    let [warning] = report.warnings.as_slice() else { panic!("{:?}", report.warnings) };
    assert_eq!(warning.upstreams, ["10.50.2.2:9000".parse().unwrap()]);
    let closed = logged(name, "closed by node after", "s idle");
    assert!(closed.len() >= 2);
    for truth in closed {
        assert!(near(warning.idle_close.median_us(), truth), "{truth}: {warning:?}");
    }
    // nginx's own default, which the story leaves alone.
    let limit = warning.idle_limit.as_ref().unwrap();
    assert!(near(limit.median_us(), 60.0), "{limit:?}");
    assert_eq!(warning.announced_timeout, Some(Duration::from_secs(5)));
    assert!(warning.summary.contains("closes idle connections after"), "{}", warning.summary);
    assert!(warning.summary.contains("keeps them for 60.0"), "{}", warning.summary);
    let gateway = &report.gateways[0].habits;
    assert!(gateway.idle_limit.iter().any(|limit| near(limit.median.as_micros() as u64, 60.0)), "{gateway:?}");
}

#[test]
fn a_gateway_that_lets_go_first_is_not_warned_of() {
    let report = told("nginx-healthy-lets-go-first");
    assert!(report.incidents.is_empty() && report.episodes.is_empty() && report.differs.is_empty());
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(report.idle_times.is_empty());
}

#[test]
fn a_restart_is_one_event_from_the_first_cut_to_the_next_answer() {
    let report = told("nginx-restart-under-traffic");
    let [episode] = report.episodes.as_slice() else { panic!("{:?}", report.episodes) };
    assert_eq!(episode.kind, "backend_restarted");
    assert_eq!(episode.incidents.len(), report.incidents.len());
    assert!(episode.served_again.is_some_and(|again| again > episode.last), "{episode:?}");
    assert!(episode.summary.contains("refused connections from"), "{}", episode.summary);
}

#[test]
fn a_rollout_is_one_event_of_several_upstreams() {
    let report = told("nginx-deploy-wave");
    let [episode] = report.episodes.as_slice() else { panic!("{:?}", report.episodes) };
    assert_eq!((episode.kind, episode.upstreams.len()), ("deploy_wave", 2));
    assert_eq!(episode.incidents.len(), report.incidents.len());
}

/// The only episode of a story, which all its incidents are part of.
fn only_episode(name: &str) -> Episode {
    let report = told(name);
    let [episode] = report.episodes.as_slice() else { panic!("{:?}", report.episodes) };
    assert_eq!(episode.incidents.len(), report.incidents.len(), "{episode:?}");
    let [advice] = report.do_first.as_slice() else { panic!("{:?}", report.do_first) };
    assert!(advice.contains(&episode.summary), "{advice}");
    episode.clone()
}

#[test]
fn a_path_that_breaks_is_one_event_from_the_first_silence_to_the_next_answer() {
    for name in ["nginx-path-outage", "nginx-path-outage-retried"] {
        let episode = only_episode(name);
        assert_eq!((episode.kind, episode.upstreams.len()), ("path_outage", 2));
        assert!(episode.served_again.is_some_and(|again| again > episode.last), "{episode:?}");
        assert!(episode.summary.contains("2 upstreams on 2 hosts fell silent together"), "{}", episode.summary);
    }
}

#[test]
fn a_name_server_that_is_away_is_one_event_until_it_answers_again() {
    let episode = only_episode("nginx-resolver-outage");
    assert_eq!(episode.kind, "resolver_outage");
    assert!(episode.summary.contains("the name server 10.50.2.2:53"), "{}", episode.summary);
    assert!(episode.served_again.is_some_and(|again| again > episode.last), "{episode:?}");
}

#[test]
fn an_application_with_too_much_to_do_is_one_event_however_its_requests_fail() {
    let episode = only_episode("nginx-saturation");
    assert_eq!((episode.kind, episode.upstreams.len()), ("saturation", 1));
    assert!(episode.summary.contains("its accept queue was full"), "{}", episode.summary);
    assert!(episode.served_again.is_some_and(|again| again > episode.last), "{episode:?}");
}

/// Many requests at two upstreams of a gateway, some of which are answered 500 by their upstream.
fn mixed(fails: impl Fn(u32) -> bool, second: impl Fn(u32) -> bool) -> Report {
    let (client, front) = (([10, 50, 1, 2], 40_000), ([10, 50, 1, 1], 8080));
    let mut talk = packets::Talk::default();
    talk.open(client, front);
    let (mut asked, mut answered) = (1000, 2000);
    for n in 0..200_u32 {
        let upstream = if second(n) { ([10, 50, 2, 3], 9000) } else { ([10, 50, 2, 2], 9000) };
        let back = ([10, 50, 2, 1], 20_000 + n as u16);
        let request = format!("GET /shop/{n} HTTP/1.1\r\nHost: a\r\nX-Request-ID: {n:032x}\r\n\r\n");
        let status = if fails(n) { "500 Internal Server Error" } else { "200 OK" };
        let response = format!("HTTP/1.1 {status}\r\nServer: app\r\nContent-Length: 2\r\n\r\nok");
        talk.send((client, front), "PA", (asked, answered), request.as_bytes());
        talk.open(back, upstream);
        talk.send((back, upstream), "PA", (1000, 2000), request.as_bytes());
        talk.send((upstream, back), "PA", (2000, 1000 + request.len() as u32), response.as_bytes());
        talk.send((front, client), "PA", (answered, asked + request.len() as u32), response.as_bytes());
        talk.send((back, upstream), "FA", (1000 + request.len() as u32, 2000 + response.len() as u32), b"");
        (asked, answered) = (asked + request.len() as u32, answered + response.len() as u32);
    }
    packets::analyse(&talk.packets, &Limits::default())
}

#[test]
fn what_failing_requests_share_is_told_with_how_many() {
    let report = mixed(|n| n % 8 == 3, |n| n % 4 == 3);
    assert_eq!(report.incidents.len(), 25);
    let [only] = report.differs.as_slice() else { panic!("{:?}", report.differs) };
    assert_eq!((only.facet, only.value.as_str()), ("upstream", "10.50.2.3:9000"));
    assert_eq!((only.failed, only.failed_of, only.others, only.others_of), (25, 25, 25, 175));
}

#[test]
fn what_chance_explains_is_no_difference() {
    let scattered = |n: u32| n.wrapping_mul(2_654_435_761).is_multiple_of(11);
    let report = mixed(scattered, |n| n % 4 == 3);
    assert!(report.incidents.len() >= 10);
    assert!(report.differs.is_empty(), "{:?}", report.differs);
    assert!(report.episodes.is_empty(), "{:?}", report.episodes);
}
