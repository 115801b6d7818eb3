//! Responses that HTTP allows, or that were passed on in part, and what comes of them: a gateway that would not have them, a
//! tunnel, a reset that is the upstream's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;
mod scene;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
use scene::{APP, BACK, CLIENT, FRONT, OK, Scene, Talk, get, summary};

const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";
const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of-chat\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A tunnel whose end is `end`, on an upstream's connection that had carried an error before.
fn tunnel(end: impl FnOnce(&mut Scene, &mut Talk, &mut Talk)) -> Scene {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/before"));
    let error = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno";
    up.answer(&mut scene, error);
    down.answer(&mut scene, error);
    for talk in [&mut down, &mut up] {
        talk.ask(&mut scene, UPGRADE);
    }
    for talk in [&mut up, &mut down] {
        talk.answer(&mut scene, SWITCHING);
    }
    down.ask(&mut scene, "\u{1}\u{5}hello");
    up.ask(&mut scene, "\u{1}\u{5}hello");
    end(&mut scene, &mut down, &mut up);
    scene
}

#[test]
fn a_tunnel_that_a_side_closes_is_no_failure_and_hides_none_before_it() {
    let by_client = tunnel(|scene, down, up| {
        down.client_closes(scene, "FA");
        up.client_closes(scene, "FA");
        up.server_closes(scene, "FA");
        down.server_closes(scene, "FA");
    });
    let by_upstream = tunnel(|scene, down, up| {
        up.server_closes(scene, "RA");
        down.server_closes(scene, "FA");
        down.client_closes(scene, "FA");
    });
    for scene in [by_client, by_upstream] {
        let incident = scene.incident();
        assert_eq!((incident.cause, incident.grade), (Cause::RelayedError, Grade::Proven), "{}", summary(&incident));
    }
}

#[test]
fn a_gateway_may_refuse_to_switch_to_what_it_did_not_ask_for() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, UPGRADE);
    up.answer(&mut scene, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n");
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 21\r\n\r\nInternal Server Error");
    let incident = scene.incident();
    assert_eq!(
        (incident.cause, incident.grade),
        (Cause::UnexpectedUpgrade, Grade::Consistent),
        "{}",
        summary(&incident)
    );
}

#[test]
fn a_reset_behind_the_upstream_s_own_acknowledgement_is_no_device_s_on_the_way() {
    let mut scene = Scene::default();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_001), FRONT, 0);
    down.ask(&mut scene, &get("/a"));
    // A busy host answers the SYN late; the way is not that long.
    let mut up = Talk::open(&mut scene, (BACK, 50_001), APP, 7000);
    up.ask(&mut scene, &get("/a"));
    scene.pause(2000);
    up.receive(&mut scene);
    up.server_closes(&mut scene, "RA");
    down.answer(&mut scene, BAD_GATEWAY);
    let incident = scene.incident();
    assert_ne!(incident.cause, Cause::MiddleboxReset, "{}", summary(&incident));
}

#[test]
fn a_gateway_may_refuse_a_response_for_the_number_of_its_fields() {
    for (fields, cause) in [(120, Cause::ResponseHeaderTooLarge), (80, Cause::Unknown)] {
        let mut scene = Scene::default();
        let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/many"));
        let fields: String = (0..fields).map(|nth| format!("X-{nth}: y\r\n")).collect();
        up.answer(&mut scene, &format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok"));
        down.answer(&mut scene, BAD_GATEWAY);
        let incident = scene.incident();
        assert_eq!(incident.cause, cause, "{}", summary(&incident));
        assert!(incident.grade < Grade::Proven);
    }
}

#[test]
fn octets_behind_a_whole_response_are_why_a_gateway_drops_it() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/more"));
    up.answer(&mut scene, "HTTP/1.1 204 No Content\r\n\r\nand yet some");
    up.client_closes(&mut scene, "FA");
    down.server_closes(&mut scene, "FA");
    let incident = scene.incident();
    let told = (incident.kind, incident.cause, incident.grade);
    assert_eq!(told, (Kind::GatewayError, Cause::UnsolicitedResponse, Grade::Consistent), "{}", summary(&incident));
}

#[test]
fn a_status_line_that_was_passed_on_as_content_is_the_cause_of_a_stalled_response() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/old"));
    up.answer(&mut scene, "HTTP/1.1 2xx OK\r\nContent-Length: 5\r\n\r\nfine\n");
    down.answer(&mut scene, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    scene.pause(1_000_000);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "29\r\nHTTP/1.1 2xx OK\r\nContent-Length: 5\r\n\r\nfine\n\r\n");
    down.server_closes(&mut scene, "FA");
    let incident = scene.incident();
    let told = (incident.kind, incident.cause, incident.grade);
    assert_eq!(told, (Kind::BrokenSuccess, Cause::MalformedResponse, Grade::Consistent), "{}", summary(&incident));
    assert!(incident.candidates.iter().any(|candidate| candidate.cause == Some(Cause::StalledBody)));
}

#[test]
fn a_gateway_that_had_a_whole_answer_and_gave_none_of_it_did_not_die_of_it() {
    let mut scene = Scene::default();
    let mut pairs: Vec<_> = (1..=3).map(|nth| Talk::pair(&mut scene, nth, &get(&format!("/{nth}")))).collect();
    let [_, up] = pairs.first_mut().unwrap();
    up.answer(&mut scene, "HTTP/1.1 100 Continue\r\n\r\n");
    up.answer(&mut scene, OK);
    scene.pause(300_000);
    for [down, up] in &mut pairs {
        up.client_closes(&mut scene, "FA");
        down.server_closes(&mut scene, "FA");
    }
    let incidents = scene.incidents();
    let of_first = incidents.iter().find(|told| told.downstream.as_ref().unwrap().client.port() == 40_001).unwrap();
    assert_eq!((of_first.cause, of_first.grade), (Cause::Unknown, Grade::Undetermined), "{}", summary(of_first));
    let said: Vec<&str> = of_first.candidates.iter().map(|candidate| candidate.what.as_str()).collect();
    assert!(said.iter().any(|said| said.contains("interim response")), "{said:?}");
}

/// A request that is answered by an error without an attempt, as the upstream closes so many connections that are idle.
fn unsent(closes: usize) -> Incident {
    let mut scene = Scene::default();
    let mut pairs: Vec<_> = (0..5).map(|nth| Talk::pair(&mut scene, nth, &get(&format!("/{nth}")))).collect();
    for [down, up] in &mut pairs {
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
    }
    scene.pause(50_000);
    let [down, _] = pairs.first_mut().unwrap();
    down.ask(&mut scene, &get("/late"));
    for [_, up] in pairs.iter_mut().take(closes) {
        up.server_closes(&mut scene, "RA");
    }
    scene.pause(2000);
    let [down, _] = pairs.first_mut().unwrap();
    down.answer(&mut scene, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    scene.incident()
}

#[test]
fn a_gateway_that_answers_at_once_when_an_idle_connection_is_closed_had_chosen_it() {
    for (closes, cause) in [(0, Cause::NoUpstreamAttempt), (1, Cause::KeepaliveRace)] {
        let incident = unsent(closes);
        assert_eq!(incident.cause, cause, "{}", summary(&incident));
        assert!(incident.grade < Grade::Proven);
    }
}

#[test]
fn a_client_that_leaves_long_after_the_gateway_gave_up_has_not_ended_it() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/broken"));
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    up.answer(&mut scene, broken);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfirst");
    // It waits for the rest until it has had enough.
    scene.pause(12_000_000);
    down.client_closes(&mut scene, "FA");
    let incident = scene.incident();
    assert_eq!(incident.cause, Cause::MalformedResponse, "{}", summary(&incident));
}

/// An answer that the upstream ends by closing, and what the gateway makes of it.
fn ended_by_close(response: &str, given: &str) -> Scene {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/a"));
    up.answer(&mut scene, response);
    up.server_closes(&mut scene, "FA");
    down.answer(&mut scene, given);
    up.client_closes(&mut scene, "FA");
    down.client_closes(&mut scene, "FA");
    down.server_closes(&mut scene, "FA");
    scene
}

#[test]
fn a_response_with_a_coding_that_nobody_knows_ends_with_its_connection() {
    let coded = "HTTP/1.1 200 OK\r\nTransfer-Encoding: funny\r\n\r\nhello";
    let incident = ended_by_close(coded, BAD_GATEWAY).incident();
    let found = (incident.cause, incident.detail, incident.grade);
    assert_eq!(found, (Cause::MalformedResponse, Some("framing_conflict"), Grade::Proven), "{}", summary(&incident));
    let passed_on = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(ended_by_close(coded, passed_on).incidents().len(), 0);
}

#[test]
fn what_stands_behind_an_invalid_chunk_is_not_called_truncated() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n";
    let nothing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let incident = ended_by_close(chunks, nothing).incident();
    let found = (incident.kind, incident.cause, incident.grade);
    assert_eq!(found, (Kind::BrokenSuccess, Cause::MalformedResponse, Grade::Consistent), "{}", summary(&incident));
    assert!(incident.candidates.iter().any(|candidate| candidate.cause == Some(Cause::TruncatedBody)));
}

#[test]
fn a_gateway_that_chose_one_of_two_lengths_did_not_reject_the_response() {
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello";
    let passed_on = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/a"));
    up.answer(&mut scene, two);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, passed_on);
    up.server_closes(&mut scene, "FA");
    assert_eq!(scene.incidents().len(), 0);
    assert_eq!(ended_by_close(two, BAD_GATEWAY).incident().cause, Cause::MalformedResponse);
}

#[test]
fn a_request_that_the_gateway_broke_off_itself_is_no_time_out() {
    let post = "POST /a HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of-a\r\nContent-Length: 5\r\n\r\n";
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &format!("{post}hello"));
    up.receive(&mut scene);
    up.server_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "FA");
    let mut again = Talk::open(&mut scene, (BACK, 50_002), APP, 0);
    again.ask(&mut scene, post);
    again.client_closes(&mut scene, "FA");
    again.server_closes(&mut scene, "FA");
    down.answer(&mut scene, BAD_GATEWAY);
    let incident = scene.incident();
    assert_eq!(incident.cause, Cause::ClosedWithoutResponse, "{}", summary(&incident));
}

#[test]
fn a_refusal_in_the_pause_of_anothers_attempts_is_not_proven_to_be_ones_own() {
    const OTHER: ([u8; 4], u16) = ([10, 50, 2, 3], 9000);
    // The gateway is known by what it served.
    let refused = |is_other_pausing: bool| {
        let mut scene = Scene::default();
        let [mut first, mut served] = Talk::pair(&mut scene, 1, &get("/before"));
        served.answer(&mut scene, OK);
        first.answer(&mut scene, OK);
        scene.pause(2_000_000);
        let [mut slow, mut failed] = Talk::pair(&mut scene, 2, &get("/slow"));
        failed.receive(&mut scene);
        if is_other_pausing {
            failed.server_closes(&mut scene, "FA");
            failed.client_closes(&mut scene, "FA");
        }
        scene.pause(240_000);
        let mut down = Talk::open(&mut scene, (CLIENT, 40_003), FRONT, 0);
        down.ask(&mut scene, &get("/own"));
        scene.send(((BACK, 50_003), OTHER), "S", (999, 0), b"");
        scene.send((OTHER, (BACK, 50_003)), "RA", (0, 1000), b"");
        down.answer(&mut scene, BAD_GATEWAY);
        scene.pause(250_000);
        if is_other_pausing {
            failed = Talk::open(&mut scene, (BACK, 50_004), APP, 0);
            failed.ask(&mut scene, &get("/slow"));
        }
        failed.answer(&mut scene, OK);
        slow.answer(&mut scene, OK);
        let own =
            |incident: &Incident| incident.downstream.as_ref().is_some_and(|leg| leg.target.as_deref() == Some("/own"));
        scene.incidents().into_iter().find(own).map(|incident| (incident.cause, incident.grade)).unwrap()
    };
    assert_ne!(refused(true), (Cause::ConnectRefused, Grade::Proven));
    assert_eq!(refused(false), (Cause::ConnectRefused, Grade::Proven));
}

#[test]
fn a_client_that_left_before_a_failure_was_made_good_is_no_success() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/a"));
    up.receive(&mut scene);
    up.server_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "FA");
    let mut again = Talk::open(&mut scene, (BACK, 50_002), APP, 0);
    again.ask(&mut scene, &get("/a"));
    scene.pause(100_000);
    down.client_closes(&mut scene, "FA");
    scene.pause(100_000);
    again.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    down.client_closes(&mut scene, "R");
    let incident = scene.incident();
    let found = (incident.kind, incident.grade);
    assert_eq!(found, (Kind::ClientAbort, Grade::Consistent), "{}", summary(&incident));
}

#[test]
fn a_malformed_answer_explains_an_error_also_of_another_target() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/before"));
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    let mut other = Talk::open(&mut scene, (CLIENT, 40_002), FRONT, 0);
    other.ask(&mut scene, "GET /shop/cart HTTP/1.1\r\nHost: shop.lab\r\n\r\n");
    up.ask(&mut scene, "GET /cart HTTP/1.1\r\nHost: app\r\n\r\n");
    scene.pause(20_000);
    up.answer(&mut scene, "HTTP/1.1 200 OK\r\nX-Trace: a\0b\r\nContent-Length: 2\r\n\r\nok");
    up.client_closes(&mut scene, "FA");
    other.answer(&mut scene, BAD_GATEWAY);
    let incident = scene.incident();
    assert_eq!(
        (incident.kind, incident.cause),
        (Kind::GatewayError, Cause::MalformedResponse),
        "{}",
        summary(&incident)
    );
}
