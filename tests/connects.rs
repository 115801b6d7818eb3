//! Connections that failed before anything was sent on them: for whom they were made, where only time tells.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;
mod scene;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
use packets::End;
use scene::{APP, BACK, CLIENT, FRONT, OK, Scene, Talk, get, summary};

const REFUSING: End = ([10, 50, 2, 2], 9001);
const SILENT: End = ([10, 50, 2, 2], 9002);
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
const TIMEOUT: &str = "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 2\r\n\r\nno";

/// A scene whose gateway has served a request already.
fn begun() -> Scene {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 99, &get("/begun"));
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    scene.pause(1_000_000);
    scene
}

/// A client's request on a connection of its own.
fn ask(scene: &mut Scene, nth: u16) -> Talk {
    let mut down = Talk::open(scene, (CLIENT, 40_000 + nth), FRONT, 0);
    down.ask(scene, &get(&format!("/number-{nth}")));
    down
}

fn syn(scene: &mut Scene, port: u16, server: End) {
    scene.send(((BACK, port), server), "S", (999, 0), b"");
}

fn refuse(scene: &mut Scene, port: u16, server: End) {
    scene.send((server, (BACK, port)), "RA", (0, 1000), b"");
}

/// What is told of each client's request, by the number of its request.
fn told(scene: &Scene, nth: u16) -> Incident {
    let of = |told: &Incident| told.downstream.as_ref().unwrap().client.port() == 40_000 + nth;
    let mut incidents = scene.incidents();
    let at = incidents.iter().position(of).unwrap();
    incidents.swap_remove(at)
}

#[test]
fn a_refusal_right_before_the_answer_is_no_stranger_s_silence() {
    let mut scene = begun();
    // Both are tried again and again, as HAProxy does: who is refused after a pause of a second.
    let mut ignored = ask(&mut scene, 1);
    syn(&mut scene, 52_000, SILENT);
    scene.pause(950_000);
    let mut refused = ask(&mut scene, 2);
    for nth in 1..=3 {
        syn(&mut scene, 51_000 + nth, REFUSING);
        scene.pause(10_000);
        refuse(&mut scene, 51_000 + nth, REFUSING);
        if nth == 3 {
            refused.answer(&mut scene, UNAVAILABLE);
        }
        scene.pause(40_000);
        syn(&mut scene, 52_000 + nth, SILENT);
        scene.pause(960_000);
    }
    ignored.answer(&mut scene, UNAVAILABLE);
    for (nth, cause) in [(1, Cause::ConnectTimeout), (2, Cause::ConnectRefused)] {
        let told = told(&scene, nth);
        assert_eq!(told.cause, cause, "{}", summary(&told));
    }
}

#[test]
fn who_waited_for_nothing_did_not_try_what_was_refused_in_the_end() {
    let mut scene = begun();
    let mut ignored = ask(&mut scene, 1);
    syn(&mut scene, 52_001, SILENT);
    scene.pause(990_000);
    let mut refused = ask(&mut scene, 2);
    syn(&mut scene, 51_001, REFUSING);
    scene.pause(5000);
    refuse(&mut scene, 51_001, REFUSING);
    ignored.answer(&mut scene, TIMEOUT);
    refused.answer(&mut scene, UNAVAILABLE);
    for (nth, cause) in [(1, Cause::ConnectTimeout), (2, Cause::ConnectRefused)] {
        let told = told(&scene, nth);
        assert_eq!(told.cause, cause, "{}", summary(&told));
    }
}

#[test]
fn what_follows_at_once_upon_a_failure_was_made_by_who_failed() {
    let mut scene = begun();
    let mut first = ask(&mut scene, 1);
    let mut second = ask(&mut scene, 2);
    let mut up = Talk::open(&mut scene, (BACK, 51_001), APP, 0);
    up.ask(&mut scene, &get("/number-2"));
    scene.pause(3000);
    up.server_closes(&mut scene, "RA");
    syn(&mut scene, 52_001, SILENT);
    scene.pause(1_000_000);
    first.answer(&mut scene, TIMEOUT);
    scene.pause(1000);
    second.answer(&mut scene, TIMEOUT);
    let told = told(&scene, 2);
    assert_eq!(told.cause, Cause::ConnectTimeout, "{}", summary(&told));
}

#[test]
fn a_request_that_waited_for_another_s_connection_fails_with_it() {
    let mut scene = begun();
    let mut owner = ask(&mut scene, 1);
    syn(&mut scene, 51_001, REFUSING);
    scene.pause(4000);
    let mut waiting = ask(&mut scene, 2);
    scene.pause(4000);
    refuse(&mut scene, 51_001, REFUSING);
    owner.answer(&mut scene, UNAVAILABLE);
    waiting.answer(&mut scene, UNAVAILABLE);
    for nth in [1, 2] {
        let told = told(&scene, nth);
        assert_eq!(told.cause, Cause::ConnectRefused, "{}", summary(&told));
        assert!(nth == 1 || told.grade < Grade::Proven);
    }
}

#[test]
fn who_asks_for_others_connects_for_others_where_no_client_is_seen() {
    let served = |request: &str| {
        let mut scene = Scene::default();
        let mut up = Talk::open(&mut scene, (BACK, 50_001), APP, 0);
        up.ask(&mut scene, request);
        up.answer(&mut scene, OK);
        scene.pause(3_000_000);
        for port in [51_001, 51_002] {
            syn(&mut scene, port, REFUSING);
            refuse(&mut scene, port, REFUSING);
            scene.pause(1_357_000);
        }
        scene.incidents()
    };
    let told = served("GET /a HTTP/1.1\r\nHost: app.lab\r\nX-Forwarded-For: 10.50.1.2\r\n\r\n");
    assert!(
        told.iter().all(|told| told.cause == Cause::ConnectRefused),
        "{:?}",
        told.iter().map(summary).collect::<Vec<_>>()
    );
    assert_eq!(told.len(), 2);
    assert!(
        served("GET /a HTTP/1.1\r\nHost: app.lab\r\n\r\n").is_empty(),
        "a client that nothing shows to be a gateway"
    );
}

#[test]
fn who_gives_up_and_is_refused_at_the_next_one_answers_for_the_refusal() {
    let mut scene = begun();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/number-1"));
    up.receive(&mut scene);
    scene.pause(1_000_000);
    up.client_closes(&mut scene, "FA");
    // On a link as short as this, in next to no time.
    syn(&mut scene, 51_001, REFUSING);
    refuse(&mut scene, 51_001, REFUSING);
    down.answer(&mut scene, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno");
    scene.pause(1_000_000);
    let incident = scene.incident();
    assert_eq!(incident.attempts.len(), 2, "{}", summary(&incident));
    assert_eq!(incident.cause, Cause::ConnectRefused, "{}", summary(&incident));
}

#[test]
fn what_a_relay_on_the_gateway_s_host_was_refused_is_told_once_and_as_the_relay_s() {
    const LOCALHOST: [u8; 4] = [127, 0, 0, 1];
    let mut scene = Scene::default();
    // Exchanges by way of two relays: they tell which addresses are the gateway's host. What the second one asked for was not seen.
    for (nth, port) in [(1, 9001), (2, 9002)] {
        let mut down = Talk::open(&mut scene, (CLIENT, 40_000 + nth), FRONT, 0);
        let inner = Talk::open(&mut scene, (LOCALHOST, 50_000 + nth), (LOCALHOST, port), 0);
        let outer = (nth == 1).then(|| Talk::open(&mut scene, (BACK, 50_000 + nth), APP, 0));
        let request = get(&format!("/before/{nth}"));
        down.ask(&mut scene, &request);
        let mut behind: Vec<Talk> = [inner].into_iter().chain(outer).collect();
        behind.iter_mut().for_each(|talk| talk.ask(&mut scene, &request));
        behind.iter_mut().rev().for_each(|talk| talk.answer(&mut scene, OK));
        down.answer(&mut scene, OK);
    }
    let mut down = Talk::open(&mut scene, (CLIENT, 40_003), FRONT, 0);
    down.ask(&mut scene, "GET /shop/cart HTTP/1.1\r\nHost: shop.lab\r\n\r\n");
    scene.pause(900);
    let mut inner = Talk::open(&mut scene, (LOCALHOST, 50_003), (LOCALHOST, 9002), 0);
    inner.ask(&mut scene, "GET /cart HTTP/1.1\r\nHost: localhost:9002\r\n\r\n");
    inner.receive(&mut scene);
    scene.pause(200);
    let gone = (APP.0, 9009);
    scene.send(((BACK, 50_003), gone), "S", (999, 0), b"");
    scene.send((gone, (BACK, 50_003)), "RA", (0, 1000), b"");
    inner.server_closes(&mut scene, "RA");
    scene.pause(100);
    down.answer(&mut scene, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad");
    let incident = scene.incident();
    assert_eq!((incident.kind, incident.cause), (Kind::GatewayError, Cause::ConnectRefused), "{}", summary(&incident));
    let upstreams: Vec<_> =
        incident.attempts.iter().map(|attempt| (attempt.upstream.unwrap().port(), attempt.hop)).collect();
    assert_eq!(upstreams, [(9002, 0), (9009, 1)]);
}
