//! Attempts that were made good by others: at another endpoint after a pause, on a stream that another one followed, named by
//! identifiers of the gateway's own; and requests beside them that are none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;
mod scene;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
use scene::{APP, BACK, CLIENT, FRONT, OK, Scene, Talk, get, summary};

const OTHER: packets::End = ([10, 50, 2, 3], 9000);

fn told(incident: &Incident) -> (Kind, Cause) {
    (incident.kind, incident.cause)
}

/// A gateway that is known by what it did before.
fn known() -> Scene {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 99, &get("/before"));
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    scene
}

/// A connection that is refused.
fn refused(scene: &mut Scene, port: u16) {
    scene.send(((BACK, port), APP), "S", (999, 0), b"");
    scene.send((APP, (BACK, port)), "RA", (0, 1000), b"");
}

#[test]
fn a_gateway_may_pause_before_it_turns_to_another_upstream() {
    for (pause, found) in [(0, true), (20_000, true), (250_000, true), (5_000_000, false)] {
        let mut scene = known();
        let mut down = Talk::open(&mut scene, (CLIENT, 40_001), FRONT, 0);
        down.ask(&mut scene, &get("/paused"));
        refused(&mut scene, 50_001);
        scene.pause(pause);
        let mut up = Talk::open(&mut scene, (BACK, 50_002), OTHER, 0);
        up.ask(&mut scene, &get("/paused"));
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
        let incidents = scene.incidents();
        let masked = incidents.iter().any(|incident| told(incident) == (Kind::Masked, Cause::ConnectRefused));
        assert_eq!(masked, found, "{pause}: {:?}", incidents.iter().map(summary).collect::<Vec<_>>());
    }
}

#[test]
fn where_others_wait_as_well_a_refusal_long_before_tells_nothing() {
    let mut scene = known();
    let mut downs: Vec<_> = (1..=3).map(|nth| Talk::open(&mut scene, (CLIENT, 40_000 + nth), FRONT, 0)).collect();
    for (nth, down) in downs.iter_mut().enumerate() {
        down.ask(&mut scene, &get(&format!("/{nth}")));
    }
    refused(&mut scene, 50_009);
    scene.pause(20_000);
    for (nth, down) in downs.iter_mut().enumerate() {
        let mut up = Talk::open(&mut scene, (BACK, 50_001 + nth as u16), OTHER, 0);
        up.ask(&mut scene, &get(&format!("/{nth}")));
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
    }
    let incidents = scene.incidents();
    assert!(
        incidents.iter().all(|incident| incident.kind != Kind::Masked),
        "{:?}",
        incidents.iter().map(summary).collect::<Vec<_>>()
    );
}

/// A request of the gateway's, with an identifier that its client does not know.
fn named(identifier: &str) -> String {
    format!("GET /same HTTP/1.1\r\nHost: app.lab\r\nx-request-id: {identifier}\r\n\r\n")
}

#[test]
fn attempts_that_bear_one_identifier_are_of_one_request() {
    let mut scene = known();
    let plain = "GET /same HTTP/1.1\r\nHost: app.lab\r\n\r\n";
    // Three clients ask for the same at once, and only one of the requests is made again.
    let mut downs: Vec<_> = (1..=3).map(|nth| Talk::open(&mut scene, (CLIENT, 40_000 + nth), FRONT, 0)).collect();
    downs.iter_mut().for_each(|down| down.ask(&mut scene, plain));
    let mut ups: Vec<_> = (1..=3).map(|nth| Talk::open(&mut scene, (BACK, 50_000 + nth), APP, 0)).collect();
    for (nth, up) in ups.iter_mut().enumerate() {
        up.ask(&mut scene, &named(&format!("3af659d5-0000-4b1c-{nth}")));
    }
    let [first, second, third] = &mut ups[..] else { unreachable!("three") };
    first.receive(&mut scene);
    scene.pause(30_000);
    first.server_closes(&mut scene, "FA");
    first.client_closes(&mut scene, "FA");
    scene.pause(40_000);
    let mut again = Talk::open(&mut scene, (BACK, 50_009), OTHER, 0);
    again.ask(&mut scene, &named("3af659d5-0000-4b1c-0"));
    for up in [second, third, &mut again] {
        up.answer(&mut scene, OK);
    }
    downs.iter_mut().for_each(|down| down.answer(&mut scene, OK));
    let incidents = scene.incidents();
    let [masked] = &incidents[..] else { panic!("{:?}", incidents.iter().map(summary).collect::<Vec<_>>()) };
    assert_eq!(told(masked), (Kind::Masked, Cause::ClosedWithoutResponse), "{}", summary(masked));
}

/// A frame of HTTP/2.
fn frame(kind: char, flags: char, stream: char, payload: &str) -> String {
    let length = char::from(u8::try_from(payload.len()).unwrap());
    format!("\0\0{length}{kind}{flags}\0\0\0{stream}{payload}")
}

/// A header block of literals (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> String {
    let length = |text: &str| char::from(u8::try_from(text.len()).unwrap());
    fields.iter().map(|(name, value)| format!("\0{}{name}{}{value}", length(name), length(value))).collect()
}

fn ask_stream(stream: char) -> String {
    begin_stream(stream, '\u{5}')
}

fn begin_stream(stream: char, flags: char) -> String {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/h2"), (":authority", "app.lab")];
    let fields = block(&fields) + &block(&[("x-request-id", "id-of--h2")]);
    frame('\u{1}', flags, stream, &fields)
}

/// A gateway's connection of HTTP/2 to an upstream, and a client's request.
fn over_http2(scene: &mut Scene) -> [Talk; 2] {
    let mut down = Talk::open(scene, (CLIENT, 40_001), FRONT, 0);
    let mut up = Talk::open(scene, (BACK, 50_001), APP, 0);
    let settings = frame('\u{4}', '\0', '\0', "");
    up.ask(scene, &format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}"));
    up.answer(scene, &settings);
    down.ask(scene, &get("/h2"));
    up.ask(scene, &ask_stream('\u{1}'));
    [down, up]
}

#[test]
fn a_stream_that_was_refused_and_begun_anew_is_a_masked_failure() {
    let mut scene = Scene::default();
    let [mut down, mut up] = over_http2(&mut scene);
    up.answer(&mut scene, &frame('\u{3}', '\0', '\u{1}', "\0\0\0\u{7}"));
    up.ask(&mut scene, &ask_stream('\u{3}'));
    let head = block(&[(":status", "200"), ("content-length", "2")]);
    up.answer(&mut scene, &(frame('\u{1}', '\u{4}', '\u{3}', &head) + &frame('\0', '\u{1}', '\u{3}', "ok")));
    down.answer(&mut scene, OK);
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::Masked, Cause::H2RefusedStream), "{}", summary(&incident));
}

#[test]
fn a_stream_that_ends_before_its_declared_length_is_cut_short() {
    for (method, length, cut) in [("GET", "1000", true), ("GET", "4", false)] {
        let mut scene = Scene::default();
        let [mut down, mut up] = over_http2(&mut scene);
        let head = block(&[(":status", "200"), ("content-length", length)]);
        up.answer(&mut scene, &(frame('\u{1}', '\u{4}', '\u{1}', &head) + &frame('\0', '\u{1}', '\u{1}', "some")));
        if cut {
            down.server_closes(&mut scene, "FA");
            let incident = scene.incident();
            assert_eq!(told(&incident), (Kind::GatewayError, Cause::TruncatedBody), "{method} {}", summary(&incident));
        } else {
            down.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome");
            assert_eq!(scene.incidents().len(), 0);
        }
    }
}

#[test]
fn a_stream_that_a_gateway_resets_with_its_connection_was_not_ended_by_the_upstream() {
    let mut scene = Scene::default();
    let [mut down, mut up] = over_http2(&mut scene);
    let head = block(&[(":status", "200"), ("content-length", "1000")]);
    up.answer(&mut scene, &(frame('\u{1}', '\u{4}', '\u{1}', &head) + &frame('\0', '\0', '\u{1}', "some")));
    down.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome");
    scene.pause(2_000_000);
    down.server_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "RA");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::BrokenSuccess, Cause::StalledBody), "{}", summary(&incident));
}

#[test]
fn an_answer_before_an_empty_frame_that_ends_the_request_is_not_early() {
    // END_STREAM stands in a frame of its own, or with the header section.
    for (flags, end) in [('\u{4}', frame('\0', '\u{1}', '\u{3}', "")), ('\u{5}', String::new())] {
        let mut scene = Scene::default();
        let [mut down, mut up] = over_http2(&mut scene);
        up.answer(&mut scene, &frame('\u{1}', '\u{5}', '\u{1}', &block(&[(":status", "204")])));
        down.answer(&mut scene, "HTTP/1.1 204 No Content\r\n\r\n");
        down.ask(&mut scene, &get("/h2"));
        up.ask(&mut scene, &begin_stream('\u{3}', flags));
        up.answer(&mut scene, &frame('\u{1}', '\u{5}', '\u{3}', &block(&[(":status", "503")])));
        down.answer(&mut scene, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        up.ask(&mut scene, &end);
        let incident = scene.incident();
        assert_eq!(told(&incident), (Kind::GatewayError, Cause::RelayedError), "{flags:?} {}", summary(&incident));
    }
}

#[test]
fn a_client_that_leaves_long_after_a_stream_was_cut_short_is_not_why() {
    let mut scene = Scene::default();
    let [mut down, mut up] = over_http2(&mut scene);
    let head = block(&[(":status", "200"), ("content-length", "1000")]);
    up.answer(&mut scene, &(frame('\u{1}', '\u{4}', '\u{1}', &head) + &frame('\0', '\u{1}', '\u{1}', "some")));
    down.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome");
    scene.pause(500_000);
    down.client_closes(&mut scene, "FA");
    down.server_closes(&mut scene, "FA");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::BrokenSuccess, Cause::TruncatedBody), "{}", summary(&incident));
}

#[test]
fn an_answer_of_too_many_fields_is_a_reason_to_try_again() {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/many"));
    let fields: String = (0..150).map(|nth| format!("X-{nth}: y\r\n")).collect();
    up.answer(&mut scene, &format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok"));
    up.client_closes(&mut scene, "FA");
    let mut again = Talk::open(&mut scene, (BACK, 50_002), OTHER, 0);
    again.ask(&mut scene, &get("/many"));
    again.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::Masked, Cause::ResponseHeaderTooLarge), "{}", summary(&incident));
}

/// An attempt that ends so, a request for a page to say so with, that is answered or not, and the client's answer.
fn with_page(end: impl FnOnce(&mut Scene, &mut Talk), page: Option<&str>, answer: &str) -> Incident {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/asked"));
    up.receive(&mut scene);
    end(&mut scene, &mut up);
    let mut other = Talk::open(&mut scene, (BACK, 50_002), OTHER, 0);
    other.ask(&mut scene, "GET /page?502 HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of--asked\r\n\r\n");
    match page {
        Some(page) => other.answer(&mut scene, page),
        None => other.server_closes(&mut scene, "FA"),
    }
    down.answer(&mut scene, answer);
    scene.incidents().into_iter().find(|incident| incident.kind == Kind::GatewayError).unwrap()
}

#[test]
fn the_request_for_a_page_to_fail_with_is_no_retry() {
    let closes = |scene: &mut Scene, up: &mut Talk| {
        up.server_closes(scene, "FA");
        up.client_closes(scene, "FA");
    };
    let blamed = |incident: &Incident| incident.attempts.last().and_then(|attempt| attempt.upstream);
    let fetched = with_page(closes, Some(OK), "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(fetched.cause, Cause::ClosedWithoutResponse, "{}", summary(&fetched));
    assert_eq!(blamed(&fetched), Some(APP.into()));

    // Where the page is not there, the status that was passed on tells.
    let error = "HTTP/1.1 503 Service Unavailable\r\nServer: app/1\r\nContent-Length: 4\r\n\r\nbusy";
    let bare = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 11\r\n\r\nBad Gateway";
    let relayed = with_page(|scene, up| up.answer(scene, error), None, bare);
    assert_eq!((relayed.cause, blamed(&relayed)), (Cause::RelayedError, Some(APP.into())), "{}", summary(&relayed));

    // And what no gateway takes is why one asks for a page, whatever status stands in it.
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok";
    let malformed = with_page(|scene, up| up.answer(scene, broken), None, bare);
    assert_eq!(
        (malformed.cause, blamed(&malformed)),
        (Cause::MalformedResponse, Some(APP.into())),
        "{}",
        summary(&malformed)
    );

    // Or nothing does.
    let either = with_page(closes, None, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nBad Gateway");
    assert!(either.grade < Grade::Proven, "{}", summary(&either));
    assert!(either.candidates.iter().any(|candidate| candidate.cause == Some(Cause::ClosedWithoutResponse)));
}

#[test]
fn what_an_earlier_attempt_was_told_is_not_proven_to_be_what_the_client_got() {
    let mut scene = Scene::default();
    let post = "POST /twice HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of-twice\r\nContent-Length: 4\r\n\r\n";
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &format!("{post}data"));
    up.answer(&mut scene, "HTTP/1.1 503 Service Unavailable\r\nServer: app/1\r\nContent-Length: 2\r\n\r\nno");
    let mut second = Talk::open(&mut scene, (BACK, 50_002), OTHER, 0);
    // The content was sent before, and is not at hand any more.
    second.ask(&mut scene, post);
    second.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 502 Bad Gateway\r\nServer: Caddy\r\nContent-Length: 0\r\n\r\n");
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.grade), (Cause::RelayedError, Grade::Consistent), "{}", summary(&incident));
}

#[test]
fn a_health_check_is_made_for_no_client() {
    let mut scene = Scene::default();
    for nth in 0..2 {
        let [mut down, mut up] = Talk::pair(&mut scene, nth, &get(&format!("/before/{nth}")));
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
    }
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, &get("/asked"));
    let mut check = Talk::open(&mut scene, (BACK, 50_009), OTHER, 0);
    check.ask(&mut scene, "GET /asked HTTP/1.1\r\nHost: hc\r\nUser-Agent: Envoy/HC\r\n\r\n");
    let error = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    check.answer(&mut scene, error);
    down.answer(&mut scene, error);
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::GatewayError, Cause::NoUpstreamAttempt), "{}", summary(&incident));
}

/// Others were served, and then a request was answered by the gateway's own page.
fn own_page(between: impl FnOnce(&mut Scene), page: &str) -> Incident {
    let mut scene = Scene::default();
    let [mut down, mut up] = Talk::pair(&mut scene, 1, &get("/before"));
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, &get("/asked"));
    between(&mut scene);
    let length = page.len();
    down.answer(
        &mut scene,
        &format!("HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\ncontent-length: {length}\r\n\r\n{page}"),
    );
    scene.incidents().into_iter().find(|incident| incident.kind == Kind::GatewayError).unwrap()
}

const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";

#[test]
fn a_gateway_s_own_page_tells_what_the_packets_leave_open() {
    let nothing = |_: &mut Scene| {};
    let refuse = |scene: &mut Scene| refused(scene, 50_009);
    let overflow = own_page(nothing, &format!("{RESET}overflow"));
    assert_eq!(
        (overflow.cause, overflow.grade),
        (Cause::NoUpstreamAttempt, Grade::Consistent),
        "{}",
        summary(&overflow)
    );
    assert_eq!(overflow.detail, None);
    let none_alive = own_page(nothing, "no healthy upstream");
    assert_eq!(none_alive.detail, Some("no_live_upstreams"), "{}", summary(&none_alive));
    let agreed = own_page(refuse, &format!("{RESET}remote connection failure"));
    assert_eq!(agreed.cause, Cause::ConnectRefused, "{}", summary(&agreed));
    let unnamed = own_page(nothing, &format!("{RESET}connection termination"));
    assert_eq!((unnamed.cause, unnamed.grade), (Cause::Unknown, Grade::Undetermined), "{}", summary(&unnamed));
}

#[test]
fn who_is_asked_whether_a_client_may_have_something_is_told_what() {
    let mut scene = known();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, "POST /guarded/17 HTTP/1.1\r\nHost: app.lab\r\nContent-Length: 2\r\n\r\nhi");
    let mut check = Talk::open(&mut scene, (BACK, 50_009), OTHER, 0);
    check.ask(
        &mut scene,
        "GET /auth HTTP/1.1\r\nHost: auth\r\nX-Forwarded-Method: POST\r\nX-Forwarded-Uri: /guarded/17\r\n\r\n",
    );
    check.receive(&mut scene);
    check.server_closes(&mut scene, "FA");
    check.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::GatewayError, Cause::ClosedWithoutResponse), "{}", summary(&incident));
}

#[test]
fn what_goes_on_inside_http2_that_began_before_the_capture_cannot_be_seen() {
    let mut scene = known();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, &get("/h2"));
    let way = ((BACK, 50_008), APP);
    scene.send(way, "PA", (7000, 9000), ask_stream('\u{b}').as_bytes());
    let error = frame('\u{1}', '\u{5}', '\u{b}', &block(&[(":status", "503")]));
    scene.send((way.1, way.0), "PA", (9000, 7000 + ask_stream('\u{b}').len() as u32), error.as_bytes());
    down.answer(&mut scene, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno");
    let incident = scene.incident();
    assert_eq!(told(&incident), (Kind::GatewayError, Cause::Unknown), "{}", summary(&incident));
    assert!(incident.summary.contains("not read"), "{}", incident.summary);
}

#[test]
fn the_copy_for_a_mirror_is_made_for_nobody() {
    let mut scene = known();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, &get("/copied"));
    let mut copy = Talk::open(&mut scene, (BACK, 50_009), OTHER, 0);
    copy.ask(&mut scene, &get("/copied").replace("Host: app.lab", "Host: app.lab-shadow"));
    let mut up = Talk::open(&mut scene, (BACK, 50_008), APP, 0);
    up.ask(&mut scene, &get("/copied"));
    copy.server_closes(&mut scene, "FA");
    copy.client_closes(&mut scene, "FA");
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    let told: Vec<_> = scene.incidents().iter().map(summary).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn what_a_gateway_falls_back_to_is_the_reason_for_what_it_passes_on() {
    let mut scene = known();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, &get("/asked"));
    let mut up = Talk::open(&mut scene, (BACK, 50_008), APP, 0);
    up.ask(&mut scene, &get("/asked"));
    up.receive(&mut scene);
    up.server_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "FA");
    let mut backup = Talk::open(&mut scene, (BACK, 50_009), OTHER, 0);
    backup.ask(&mut scene, "GET /backup HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of--asked\r\n\r\n");
    let error = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
    backup.answer(&mut scene, error);
    down.answer(&mut scene, error);
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.grade), (Cause::RelayedError, Grade::Proven), "{}", summary(&incident));
    assert_eq!(incident.attempts.last().and_then(|attempt| attempt.upstream), Some(OTHER.into()));
}

#[test]
fn a_page_of_the_gateway_s_own_was_not_passed_on_though_the_status_is_the_same() {
    let mut scene = known();
    let mut down = Talk::open(&mut scene, (CLIENT, 40_009), FRONT, 0);
    down.ask(&mut scene, &get("/asked"));
    let mut up = Talk::open(&mut scene, (BACK, 50_008), APP, 0);
    up.ask(&mut scene, &get("/asked"));
    up.answer(&mut scene, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
    let page = format!("{RESET}remote connection failure");
    let length = page.len();
    down.answer(
        &mut scene,
        &format!("HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\ncontent-length: {length}\r\n\r\n{page}"),
    );
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.grade), (Cause::Unknown, Grade::Undetermined), "{}", summary(&incident));
    assert!(incident.candidates.iter().any(|candidate| candidate.cause == Some(Cause::RelayedError)));
}

#[test]
fn an_empty_answer_of_envoy_s_has_nothing_to_do_with_what_was_refused_meanwhile() {
    let incident = own_page(|scene| refused(scene, 50_009), "");
    assert_eq!(
        (incident.cause, incident.grade),
        (Cause::NoUpstreamAttempt, Grade::Consistent),
        "{}",
        summary(&incident)
    );
}
