//! Clients that leave as the gateway gives up, or while it tries again: the order of the frames tells who was first.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;
mod scene;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
use scene::{APP, BACK, CLIENT, FRONT, OK, Scene, Talk, get, summary};

const TIMEOUT: &str =
    "HTTP/1.1 504 Gateway Timeout\r\nServer: envoy\r\nContent-Length: 24\r\n\r\nupstream request timeout";

fn told(incident: &Incident) -> (Kind, Cause, Grade) {
    (incident.kind, incident.cause, incident.grade)
}

fn names(incident: &Incident, cause: Cause) -> bool {
    incident.candidates.iter().any(|candidate| candidate.cause == Some(cause))
}

/// A request that nobody answers for two seconds, and what then happens.
fn silence(end: impl FnOnce(&mut Scene, &mut Talk, &mut Talk)) -> Scene {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/slow"));
    up.receive(&mut scene);
    scene.pause(2_000_000);
    end(&mut scene, &mut down, &mut up);
    scene
}

/// It was the gateway that gave up, as far as can be told.
fn gave_up_perhaps(incident: &Incident) {
    let expected = (Kind::GatewayError, Cause::ResponseTimeout, Grade::Consistent);
    assert_eq!(told(incident), expected, "{}", summary(incident));
    assert!(names(incident, Cause::ClientAbort));
}

#[test]
fn a_gateway_that_closes_first_has_given_up_though_its_client_leaves_at_that_moment() {
    let scene = silence(|scene, down, up| {
        up.client_closes(scene, "FA");
        scene.pause(200);
        down.client_closes(scene, "FA");
        down.answer(scene, TIMEOUT);
        down.client_closes(scene, "R");
    });
    gave_up_perhaps(&scene.incident());
}

#[test]
fn nobody_says_that_his_patience_has_ended_to_a_client_that_he_saw_leave() {
    let scene = silence(|scene, down, up| {
        down.client_closes(scene, "FA");
        up.client_closes(scene, "FA");
        down.answer(scene, TIMEOUT);
        down.client_closes(scene, "R");
    });
    gave_up_perhaps(&scene.incident());
}

#[test]
fn a_client_that_closes_first_has_left_unless_the_gateway_s_own_limit_was_reached() {
    let leave = |scene: &mut Scene, down: &mut Talk, up: &mut Talk| {
        down.client_closes(scene, "FA");
        up.client_closes(scene, "FA");
        down.server_closes(scene, "FA");
    };
    let incident = silence(leave).incident();
    assert_eq!(told(&incident), (Kind::ClientAbort, Cause::ClientAbort, Grade::Proven), "{}", summary(&incident));

    // After the gateway was seen to give up after as long, either may have been first.
    let mut scene = Scene::default();
    for nth in 1..=2 {
        let [mut down, mut up] = Talk::pair(&mut scene, nth, &get(&format!("/slow/{nth}")));
        up.receive(&mut scene);
        scene.pause(2_000_000);
        if nth == 1 {
            up.client_closes(&mut scene, "FA");
            down.answer(&mut scene, TIMEOUT);
            scene.pause(3_000_000);
        } else {
            leave(&mut scene, &mut down, &mut up);
        }
    }
    let incidents = scene.incidents();
    let last = incidents.last().unwrap();
    assert_eq!(told(last), (Kind::ClientAbort, Cause::ClientAbort, Grade::Consistent), "{}", summary(last));
    assert!(names(last, Cause::ResponseTimeout));
}

#[test]
fn a_client_that_leaves_before_the_gateway_says_anything_may_have_left_a_gateway_that_pauses() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/back-off"));
    up.receive(&mut scene);
    up.server_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "FA");
    scene.pause(4000);
    down.client_closes(&mut scene, "FA");
    down.server_closes(&mut scene, "FA");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::ClientAbort, Cause::ClientAbort, Grade::Consistent), "{}", summary(&incident));
    assert!(names(&incident, Cause::ClosedWithoutResponse));
}

#[test]
fn nobody_was_served_by_an_answer_that_was_written_to_a_client_that_had_left() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/twice"));
    up.server_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "FA");
    let mut second = Talk::open(&mut scene, (BACK, 50_002), APP, 0);
    second.ask(&mut scene, &get("/twice"));
    second.receive(&mut scene);
    scene.pause(300_000);
    down.client_closes(&mut scene, "FA");
    second.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 499 status code 499\r\nContent-Length: 0\r\n\r\n");
    down.client_closes(&mut scene, "R");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::ClientAbort, Cause::ClientAbort, Grade::Consistent), "{}", summary(&incident));
    assert!(names(&incident, Cause::ClosedWithoutResponse));
}

#[test]
fn what_comes_after_the_gateway_has_closed_is_no_part_of_the_answer() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/half"));
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    up.answer(&mut scene, half);
    down.answer(&mut scene, half);
    scene.pause(2_000_000);
    up.client_closes(&mut scene, "FA");
    down.server_closes(&mut scene, "FA");
    scene.pause(1_000_000);
    up.answer(&mut scene, "late");
    up.client_closes(&mut scene, "R");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::BrokenSuccess, Cause::StalledBody, Grade::Proven), "{}", summary(&incident));
}

#[test]
fn a_gateway_that_dies_breaks_off_answers_as_well() {
    let mut scene = Scene::default();
    let mut pairs = Vec::new();
    for nth in 1..=4 {
        pairs.push(Talk::pair(&mut scene, nth, &get(&format!("/body/{nth}"))));
        scene.pause(300_000);
    }
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\npart";
    let [down, up] = pairs.first_mut().unwrap();
    up.answer(&mut scene, part);
    down.answer(&mut scene, part);
    scene.pause(500_000);
    for [down, up] in &mut pairs {
        up.client_closes(&mut scene, "FA");
        down.server_closes(&mut scene, "FA");
    }
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 4);
    for incident in &incidents {
        assert_eq!((incident.cause, incident.grade), (Cause::GatewayCrash, Grade::Consistent), "{}", summary(incident));
    }
}

#[test]
fn no_time_limit_is_over_at_once() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/odd"));
    up.receive(&mut scene);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad");
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.grade), (Cause::Unknown, Grade::Undetermined), "{}", summary(&incident));
    // One that was made behind a failure, and given up with it, does not hide that.
    let mut scene = Scene::default();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_001), FRONT, 0);
    down.ask(&mut scene, &get("/copied"));
    let mut up = Talk::open(&mut scene, (BACK, 50_001), APP, 0);
    let mut copy = Talk::open(&mut scene, (BACK, 50_002), ([10, 50, 2, 3], 9000), 0);
    up.ask(&mut scene, &get("/copied"));
    let error = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nworse";
    up.answer(&mut scene, error);
    copy.ask(&mut scene, &get("/copied"));
    down.answer(&mut scene, error);
    copy.answer(&mut scene, OK);
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.kind), (Cause::RelayedError, Kind::GatewayError), "{}", summary(&incident));
}

#[test]
fn a_gateway_that_goes_on_waiting_for_nobody_says_so_long_after_its_client_has_left() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/slow"));
    up.receive(&mut scene);
    scene.pause(400_000);
    down.client_closes(&mut scene, "FA");
    scene.pause(1_600_000);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, TIMEOUT);
    down.client_closes(&mut scene, "R");
    let incident = scene.incident();
    assert_eq!((incident.kind, incident.cause), (Kind::ClientAbort, Cause::ClientAbort), "{}", summary(&incident));
}
