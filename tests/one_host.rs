//! Client, gateway and application on one machine, with one address: which of them asked is not told by addresses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;
mod scene;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::Incident;
use packets::End;
use scene::{Scene, Talk};

const HOST: [u8; 4] = [127, 0, 0, 1];
const GATEWAY: End = (HOST, 8080);
const APP: End = (HOST, 9000);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";
const TIMEOUT: &str = "HTTP/1.1 504 Gateway Timeout\r\nServer: nginx\r\nContent-Length: 3\r\n\r\nbad";

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.lab\r\n\r\n")
}

/// A connection with a request on it.
fn ask(scene: &mut Scene, port: u16, server: End, target: &str) -> Talk {
    let mut talk = Talk::open(scene, (HOST, port), server, 0);
    talk.ask(scene, &request(target));
    talk
}

fn told(scene: &Scene) -> Vec<(Option<String>, Cause, usize)> {
    let target = |told: &Incident| told.downstream.as_ref().and_then(|client| client.target.clone()).map(Into::into);
    scene.incidents().iter().map(|told| (target(told), told.cause, told.attempts.len())).collect()
}

#[test]
fn what_a_client_asks_again_is_not_asked_for_what_the_gateway_let_go_of() {
    let mut scene = Scene::default();
    for nth in [1, 2, 3] {
        let mut down = ask(&mut scene, 40_000 + nth, GATEWAY, "/orders/all");
        let mut up = ask(&mut scene, 50_000 + nth, APP, "/orders/all");
        up.receive(&mut scene);
        scene.pause(2_000_000);
        // The application, which is still at work, does not close.
        up.client_closes(&mut scene, "FA");
        down.answer(&mut scene, TIMEOUT);
        scene.pause(500_000);
    }
    let expected = (Some("/orders/all".to_owned()), Cause::ResponseTimeout, 1);
    assert_eq!(told(&scene), vec![expected; 3]);
}

#[test]
fn what_another_client_asks_is_not_asked_by_the_application_though_it_ends_alike() {
    let mut scene = Scene::default();
    let mut before = ask(&mut scene, 40_000, GATEWAY, "/of/nobody/status");
    let mut served = ask(&mut scene, 50_000, APP, "/of/nobody/status");
    served.answer(&mut scene, OK);
    before.answer(&mut scene, OK);
    let mut one = ask(&mut scene, 40_001, GATEWAY, "/of/anna/invoices");
    let mut for_one = ask(&mut scene, 50_001, APP, "/of/anna/invoices");
    let mut other = ask(&mut scene, 40_002, GATEWAY, "/of/bert/invoices");
    let mut for_other = ask(&mut scene, 50_002, APP, "/of/bert/invoices");
    for_other.answer(&mut scene, BAD_GATEWAY);
    other.answer(&mut scene, BAD_GATEWAY);
    for_one.answer(&mut scene, BAD_GATEWAY);
    one.answer(&mut scene, BAD_GATEWAY);
    let expected = |who: &str| (Some(format!("/of/{who}/invoices")), Cause::RelayedError, 1);
    assert_eq!(told(&scene), [expected("bert"), expected("anna")]);
}

#[test]
fn what_an_inner_gateway_still_waits_for_does_not_make_the_application_the_outermost() {
    const INNER: End = (HOST, 8081);
    let mut scene = Scene::default();
    for nth in 0..48 {
        let target = format!("/of/{nth}/report");
        let mut down = ask(&mut scene, 40_000 + nth, GATEWAY, &target);
        let mut between = ask(&mut scene, 45_000 + nth, INNER, &target);
        let up = ask(&mut scene, 50_000 + nth, APP, &target);
        up.receive(&mut scene);
        scene.pause(1_000_000);
        // The outer gateway gives up; the inner one goes on waiting.
        between.client_closes(&mut scene, "FA");
        down.answer(&mut scene, TIMEOUT);
        scene.pause(1000);
    }
    let expected = |nth: u16| (Some(format!("/of/{nth}/report")), Cause::ResponseTimeout, 2);
    assert_eq!(told(&scene), (0..48).map(expected).collect::<Vec<_>>());
}
