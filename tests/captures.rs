//! The stories of `captures/` against what the gateways' own logs say of them, and against golden files of the reports.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::process::Command;

use netwatch502::limits::Limits;

/// A story is told if every line of its `expect` block is met by one incident, and nothing else is found.
fn check(name: &str) {
    let report = packets::analyse(&story::packets(name), &Limits::default());
    let (expected, found) = (story::expected(name), story::found(&report));
    assert!(
        expected == found,
        "{name}: expected\n{}but found\n{}",
        listed(&expected),
        if found.is_empty() { "  nothing\n".to_owned() } else { listed(&found) },
    );
}

fn listed(failures: &[story::Failure]) -> String {
    failures.iter().map(|failure| format!("  {failure}\n")).collect()
}

/// The reports are what they were when somebody last read them.
fn check_report(name: &str, format: &str) {
    let path = story::path(name);
    let run = Command::new(env!("CARGO_BIN_EXE_netwatch502"))
        .args(["-r", &path, "--format", format, "--color", "never"])
        .output()
        .unwrap();
    assert!(matches!(run.status.code(), Some(0 | 1)), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).expect("reports are UTF-8");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{name}.{format}"), printed));
}

macro_rules! stories {
    ($($name:ident)*) => {
        /// The stories that have a test; a test's name is the folder's, with `_` for `-`.
        const TOLD: &[&str] = &[$(stringify!($name)),*];

        mod what_the_logs_say_is_found {
            $(#[test] fn $name() { super::check(&stringify!($name).replace('_', "-")); })*
        }

        mod the_text_report_is_the_golden_file {
            $(#[test] fn $name() { super::check_report(&stringify!($name).replace('_', "-"), "text"); })*
        }

        mod the_json_report_is_the_golden_file {
            $(#[test] fn $name() { super::check_report(&stringify!($name).replace('_', "-"), "json"); })*
        }
    };
}

stories! {
    apache_bad_header
    apache_chunk_broken
    apache_fastcgi_killed
    apache_h2_upstream_speaks_http1
    apache_name_not_found
    apache_plaintext_to_tls
    apache_refused_503
    apache_timeout_502
    apache_tls_cipher
    apache_tls_closed
    apache_tls_wrong_name
    apache_uwsgi_killed
    apache_worker_in_error
    bridge_haproxy_truncated_head
    bridge_nginx_reset_and_masked
    chain_haproxy_nginx_refused
    contained_haproxy_truncated_head
    contained_nginx_reset_and_masked
    haproxy_bad_status_line
    haproxy_connect_refused
    haproxy_h2_healthy
    haproxy_h2_refused
    haproxy_h2_upstream_connection
    haproxy_h2_upstream_streams
    haproxy_health_checks_down
    haproxy_name_disappears
    haproxy_race_silent_close
    haproxy_timeout
    haproxy_tls_alpn
    haproxy_tls_client_certificate
    haproxy_tls_reset
    haproxy_tls_self_signed
    haproxy_tls_version
    nginx_authorised_and_mirrored
    nginx_client_abort
    nginx_closed_without_response
    nginx_connect_refused
    nginx_deploy_wave
    nginx_early_413
    nginx_fastcgi_killed
    nginx_fastcgi_no_output
    nginx_fastcgi_script_fails
    nginx_fastcgi_to_http
    nginx_h2_client_abort
    nginx_h2_closed_without_response
    nginx_header_too_large
    nginx_healthy_idle_closes
    nginx_healthy_lets_go_first
    nginx_icmp_reject
    nginx_ipv6_localhost
    nginx_ipv6_nobody_there
    nginx_ipv6_refused
    nginx_ipv6_response_black_hole
    nginx_ipv6_router_refuses
    nginx_keepalive_race_get_masked
    nginx_keepalive_race_post
    nginx_malformed_header
    nginx_name_not_found
    nginx_no_live_upstreams
    nginx_nobody_there
    nginx_node_race_waits
    nginx_one_family_refused
    nginx_one_host_asked_again
    nginx_path_outage
    nginx_path_outage_retried
    nginx_process_death
    nginx_relayed_502
    nginx_request_black_hole
    nginx_request_lost
    nginx_reset_without_response
    nginx_resolver_fails
    nginx_resolver_gone
    nginx_resolver_outage
    nginx_resolver_silent
    nginx_response_black_hole
    nginx_restart_under_traffic
    nginx_saturation
    nginx_scgi_killed
    nginx_stalled_body
    nginx_syn_unanswered
    nginx_timeout_late_answer
    nginx_tls_client_certificate
    nginx_tls_expired
    nginx_tls_front_failures
    nginx_tls_front_healthy
    nginx_tls_front_race_masked
    nginx_tls_front_tried_again
    nginx_tls_handshake_timeout
    nginx_tls_healthy
    nginx_tls_name_rejected
    nginx_tls_to_plaintext
    nginx_tls_wrong_name
    nginx_truncated_body
    nginx_truncated_head
    nginx_uwsgi_killed
    nginx_uwsgi_large_short_late
    origin_application_gateway
    origin_cloudflare
    origin_load_balancer
    origin_tunnel
}

/// A capture on all interfaces of a host with a bridge has each packet of what is behind it twice.
#[test]
fn what_passes_a_bridge_is_no_retransmission() {
    for name in story::names().iter().filter(|name| name.starts_with("bridge-")) {
        let report = packets::analyse(&story::packets(name), &Limits::default());
        assert!(report.coverage.duplicates > 30, "{name}: {:?}", report.coverage);
        let repeated: Vec<u64> = report.upstreams.iter().map(|upstream| upstream.retransmitted).collect();
        assert!(!repeated.is_empty() && repeated.iter().all(|repeated| *repeated == 0), "{name}: {repeated:?}");
    }
}

/// A capture on the host of a container has each packet twice, and mostly under two names: servers have their own, in what is paired
/// too, and the gateway has none but its own.
#[test]
fn a_container_goes_by_its_own_name() {
    for name in story::names().iter().filter(|name| name.starts_with("contained-")) {
        let report = packets::analyse(&story::packets(name), &Limits::default());
        let told: Vec<String> = report.translations.iter().map(|(asked, own)| format!("{asked} is {own}")).collect();
        assert_eq!(told, ["10.50.1.1:8080 is 10.50.3.2:8080", "10.50.9.1:80 is 10.50.2.2:9000"], "{name}");
        let gateways: Vec<_> = report.gateways.iter().map(|gateway| gateway.addresses.clone()).collect();
        assert_eq!(gateways, [vec!["10.50.3.2".parse::<std::net::IpAddr>().unwrap()]], "{name}");
        assert_eq!(report.totals.exchanges, report.totals.responses.values().sum::<u64>(), "{name}");
    }
}

/// RFC 1945 section 6: a Simple-Response is content alone, and ends with the connection.
#[test]
fn content_alone_answers_a_request_without_a_version() {
    let (client, server) = (([10, 50, 1, 2], 40_000), ([10, 50, 1, 1], 8080));
    let mut talk = packets::Talk::default();
    talk.open(client, server);
    talk.send((client, server), "PA", (1000, 2000), b"GET /old\r\n");
    talk.send((server, client), "PA", (2000, 1010), b"<html>old</html>");
    talk.send((server, client), "FA", (2016, 1010), b"");
    talk.send((client, server), "FA", (1010, 2017), b"");
    talk.send((server, client), "A", (2017, 1011), b"");
    let report = packets::analyse(&talk.packets, &Limits::default());
    assert_eq!((report.totals.exchanges, report.incidents.len()), (1, 0), "{:?}", report.incidents);
}

#[test]
fn every_story_has_a_test() {
    let told: Vec<String> = TOLD.iter().map(|name| name.replace('_', "-")).collect();
    assert_eq!(told, story::names(), "the list in tests/captures.rs and the folders of captures/ differ");
}

#[test]
fn every_story_has_a_golden_file_and_no_golden_file_is_left_over() {
    let mut wanted: Vec<String> =
        story::names().iter().flat_map(|name| [format!("{name}.json.snap"), format!("{name}.text.snap")]).collect();
    wanted.sort();
    let golden = std::fs::read_dir("tests/snapshots").unwrap();
    let mut golden: Vec<String> = golden
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".snap"))
        .collect();
    golden.sort();
    assert_eq!(golden, wanted);
}
