//! What TLS shows of itself: captures of real servers and clients (tests/tls/make.sh makes them), and what must be told of
//! each, step by step.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use netwatch502::analysis::Below;
use netwatch502::capture::Source;
use netwatch502::event::tls::{Alert, AlertDescription, SentAlert};
use netwatch502::event::{Ending, Side, Tls, What};
use netwatch502::flow::steer::Captured;
use netwatch502::limits::Limits;

/// A line for each thing that a capture's only connection shows above TCP.
fn told(name: &str) -> String {
    let mut source = Source::open(&[format!("tests/tls/{name}.pcap")]).unwrap();
    let mut below = Below::new(&Limits::default());
    while let Some(captured) = source.next() {
        below.take(&captured);
    }
    below.end();
    let events = std::mem::take(below.events());
    let mut text = String::new();
    for event in events {
        let line = match &event.what {
            What::Tls(shown) => told_tls(shown),
            What::Veiled(veiled) => format!("request {} has {} octets", veiled.exchange, veiled.request_octets),
            What::RequestStarted { exchange, at, .. } => format!("request {exchange} at {at}"),
            What::RequestEnded { exchange, end } => format!("request {exchange} to {end}"),
            What::ResponseStarted { exchange, at, solicited: true, .. } => format!("response {exchange} at {at}"),
            What::ResponseEnded { exchange, end, content, how: Ending::Unmeasured } => {
                format!("response {exchange} to {end}, {content} octets")
            }
            What::Opaque(opaque) => format!("{opaque:?}"),
            What::SpeaksFor(client) => format!("for {client}"),
            What::Fin(closing) => format!("FIN of {:?} at {}", closing.by, closing.at),
            _ => continue,
        };
        writeln!(text, "{:>2} {line}", event.moment.frame).unwrap();
    }
    text
}

fn told_tls(shown: &Tls) -> String {
    match shown {
        Tls::ClientHello(hello) => {
            let versions: Vec<String> = hello.versions.iter().map(ToString::to_string).collect();
            format!(
                "ClientHello {}–{}{}{} to {} offers {}, {} suites, {} protocols, {}",
                hello.start,
                hello.end,
                if hello.again { " again" } else { "" },
                if hello.resumes { " resumes" } else { "" },
                hello.server_name.as_deref().unwrap_or("nobody"),
                versions.join(" "),
                hello.suites.len(),
                hello.alpn.len(),
                hello.ja4,
            )
        }
        Tls::ServerHello(hello) => format!(
            "ServerHello {}–{}{} {} {}, offered {:?}, resumed {:?}, protocol {:?}",
            hello.start,
            hello.end,
            if hello.retry { " retry" } else { "" },
            hello.version,
            hello.suite,
            hello.version_offered,
            hello.resumed,
            hello.alpn,
        ),
        Tls::Certificates(shown) => {
            let mut text = format!(
                "Certificates of {:?} {}–{}, in order {}",
                shown.sender, shown.start, shown.end, shown.in_order
            );
            for certificate in &shown.chain {
                let names = certificate.names.join(" ");
                let own = if certificate.self_signed { "self-signed" } else { "signed" };
                let days = (certificate.not_after - certificate.not_before) / 86_400;
                write!(text, "; {} {own} by {} for {days} days: {names}", certificate.subject, certificate.issuer)
                    .unwrap();
            }
            text
        }
        Tls::Alert(SentAlert { sender, start, alert: Some(Alert { level, description }), .. }) => {
            format!("alert of {sender:?} at {start}: {level} {description}")
        }
        Tls::Alert(alert) => format!(
            "encrypted alert of {:?} {}–{}, certain {}, after the handshake {}",
            alert.sender, alert.start, alert.end, alert.certain, alert.after_handshake
        ),
        Tls::NotTls(other) => format!("not TLS of {:?} at {}: {:?}", other.sender, other.start, other.what),
        Tls::HandshakeDone(done) => {
            format!("handshake of {:?} done at {}, resumed {:?}, seen {}", done.by, done.end, done.resumed, done.seen)
        }
        other => format!("{other:?}"),
    }
}

/// What is told must be what stands beside the capture.
fn check(name: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("tls");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, told(name)));
}

#[test]
fn tls_1_3_shows_the_hellos_and_the_lengths() {
    check("tls13");
}

#[test]
fn tls_1_2_shows_the_certificates() {
    check("tls12");
}

#[test]
fn tls_1_0_with_block_ciphers_is_followed() {
    check("tls10-cbc");
}

#[test]
fn a_hello_retry_request_is_no_choice() {
    check("retry");
}

#[test]
fn a_client_hello_may_be_split_over_records() {
    check("split-hello");
}

#[test]
fn a_session_is_resumed_by_a_ticket_before_tls_1_3() {
    check("resumed-tls1_2");
}

#[test]
fn a_session_is_resumed_by_a_shared_key_in_tls_1_3() {
    check("resumed-tls1_3");
}

#[test]
fn a_client_without_a_certificate_shows_an_empty_list() {
    check("no-client-certificate");
}

#[test]
fn a_client_without_a_certificate_is_known_by_a_length_in_tls_1_3() {
    check("no-client-certificate-13");
}

#[test]
fn a_proxy_protocol_header_is_seen_through() {
    check("proxy");
}

#[test]
fn what_begins_in_clear_may_turn_to_tls() {
    check("starttls");
}

#[test]
fn an_alert_in_clear_says_who_refused_what() {
    let refused = told("version-refused");
    assert!(refused.contains("alert of Server at 0: fatal protocol_version"), "{refused}");
    let rejected = told("unknown-authority");
    assert!(rejected.contains("alert of Client at 245: fatal unknown_ca"), "{rejected}");
    assert_eq!(AlertDescription::UNKNOWN_CA.to_string(), "unknown_ca");
    assert!(!rejected.contains("handshake of Client"), "{rejected}");
}

#[test]
fn a_server_that_does_not_speak_tls_is_told_apart() {
    let answered = told("tls-to-plaintext");
    assert!(answered.contains("not TLS of Server at 0: Text"), "{answered}");
}

/// Whatever is missing, no more exchanges are told than there are, and nothing of the handshake that was not said.
#[test]
fn a_missing_packet_makes_nothing_up() {
    for name in ["tls13", "tls12", "tls10-cbc", "resumed-tls1_3"] {
        let whole = told(name);
        let lines = whole.lines().count();
        assert!(lines > 8 && whole.contains("response 1"), "{name}: {whole}");
        for missing in 1..=18 {
            let left = without(name, missing);
            assert!(!left.contains("request 2") && !left.contains("response 2"), "{name} without {missing}: {left}");
            assert!(!left.contains("NotTls"), "{name} without {missing}: {left}");
        }
    }
}

/// Octets that are changed on the way are survived, whatever they make of the handshake.
#[test]
fn flipped_octets_are_survived() {
    let mut dice = 504_u64;
    let mut below = |most: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % most
    };
    let mut shown = 0;
    for name in ["tls13", "tls12", "retry", "split-hello", "no-client-certificate", "resumed-tls1_2", "starttls"] {
        for _ in 0..60 {
            let mut source = Source::open(&[format!("tests/tls/{name}.pcap")]).unwrap();
            let mut reader = Below::new(&Limits { handshake_bytes: 1 << below(17), ..Limits::default() });
            while let Some(captured) = source.next() {
                let mut octets = captured.octets.to_vec();
                for _ in 0..below(4) {
                    let at = below(octets.len());
                    octets[at] ^= 1 << below(8);
                }
                reader.take(&Captured { octets: &octets, ..captured });
            }
            shown += reader.events().iter().filter(|event| matches!(event.what, What::Tls(_))).count();
        }
    }
    assert!(shown > 100, "hardly anything was read: {shown}");
}

/// The same of a capture that lacks a frame.
fn without(name: &str, missing: u64) -> String {
    let mut source = Source::open(&[format!("tests/tls/{name}.pcap")]).unwrap();
    let mut below = Below::new(&Limits::default());
    while let Some(captured) = source.next() {
        if captured.frame.number() != missing {
            below.take(&captured);
        }
    }
    below.end();
    let events = std::mem::take(below.events());
    let mut text = String::new();
    for event in events {
        let _ = match event.what {
            What::RequestStarted { exchange, .. } => write!(text, "request {exchange} "),
            What::ResponseStarted { exchange, .. } => write!(text, "response {exchange} "),
            What::Tls(shown) => match *shown {
                Tls::NotTls(_) => write!(text, "NotTls "),
                Tls::HandshakeDone(done) if done.by == Side::Client => write!(text, "done "),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
    }
    text
}
