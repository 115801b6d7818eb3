//! The command line, as a process: statuses, sentences, formats, and nothing from the traffic that a terminal obeys.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::fs;
use std::io::Read;
use std::process::{Output, Stdio};

use assert_cmd::Command;
use packets::Talk;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netwatch502");
const REFUSED: &str = "captures/nginx-connect-refused/capture.pcapng";
const HEALTHY: &str = "captures/nginx-healthy-idle-closes/capture.pcapng";

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).env_remove("NO_COLOR").env_remove("COLUMNS").args(arguments).output().unwrap()
}

/// What is printed by a run that ends with `status`.
fn check(arguments: &[&str], status: i32) -> String {
    let output = run(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}{err}");
    out
}

/// The sentence that a run ends with which could not look.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn json(arguments: &[&str], status: i32) -> Value {
    serde_json::from_str(&check(&[&["--json"], arguments].concat(), status)).unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, octets: &[u8]) -> String {
        fs::write(self.path(name), octets).unwrap();
        self.path(name)
    }
}

#[test]
fn help_names_every_flag_and_the_statuses() {
    let help = check(&["--help"], 0);
    for flag in ["-r <FILE>", "--exact-filter", "--proxy", "--status", "--format", "--json", "--ndjson", "-o <FILE>"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    for flag in ["--show", "--exchanges", "--show-secrets", "--color", "-q", "-v", "explain", "Exit status: 0"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(check(&["--version"], 0), format!("netwatch502 {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn explain_lists_all_causes_and_explains_each() {
    let list = check(&["explain"], 0);
    for cause in netwatch502::diagnose::cause::Cause::ALL {
        assert!(list.contains(cause.id()), "{} is not listed", cause.id());
    }
    let one = check(&["explain", "keepalive_race"], 0);
    for title in ["keepalive_race", "MEANS", "PROVEN BY", "LOOKS LIKE IT", "WHAT TO DO"] {
        assert!(one.contains(title), "{title}: {one}");
    }
}

#[test]
fn an_unknown_cause_gets_a_hint() {
    let said = refusal(&["explain", "race"]);
    assert!(said.contains("“race”") && said.contains("keepalive_race"), "{said}");
    assert!(refusal(&["explain", "nonsense"]).contains("`netwatch502 explain` lists them"));
}

#[test]
fn nothing_to_read_is_a_matter_of_usage() {
    assert!(refusal(&[]).contains("Usage"));
    assert!(refusal(&["--json"]).contains("-r <FILE>"));
    assert!(refusal(&["-r", REFUSED, "--format", "xml"]).contains("text, json, ndjson, csv"));
}

#[test]
fn the_status_says_whether_a_failure_was_found() {
    check(&["-r", HEALTHY], 0);
    check(&["-r", REFUSED], 1);
}

/// The gateway did nothing wrong.
#[test]
fn a_client_that_left_is_no_gateway_failure() {
    check(&["-r", "captures/nginx-client-abort/capture.pcapng"], 0);
}

#[test]
fn a_file_that_cannot_be_read_is_a_sentence() {
    let folder = Folder::new();
    assert_eq!(refusal(&["-r", "no-such.pcap"]), "netwatch502: no-such.pcap: no such file\n");
    assert!(refusal(&["-r", "no-such-*.pcap"]).contains("no file matches this pattern"));
    assert!(refusal(&["-r", "captures"]).contains("is a directory; name the capture files in it"));
    let zip = folder.file("incident.pcap", b"PK\x03\x04\x14\0\0\0\x08\0rest of a zip archive");
    let said = refusal(&["-r", &zip]);
    assert!(said.contains("not a capture file") && said.contains("zip archive") && said.contains("unpack"), "{said}");
}

#[test]
fn an_expression_that_libpcap_refuses_is_a_sentence() {
    let said = refusal(&["-r", REFUSED, "prot 80"]);
    assert!(said.contains("filter 'prot 80'") && said.contains("pcap-filter(7)"), "{said}");
}

#[test]
fn a_status_that_is_none_is_a_sentence() {
    assert!(refusal(&["-r", REFUSED, "--status", "5xx"]).contains("“5xx” is no status code"));
    assert!(refusal(&["-r", REFUSED, "--status", "504-502"]).contains("504 comes after 502"));
}

#[test]
fn the_statuses_asked_for_are_those_explained() {
    let none = json(&["-r", REFUSED, "--status", "504"], 0);
    assert_eq!(none["incidents"].as_array().unwrap().len(), 0);
    let both = json(&["-r", REFUSED, "--status", "500-503"], 1);
    assert_eq!(both["incidents"].as_array().unwrap().len(), 2);
}

#[test]
fn one_incident_is_shown_in_full() {
    let shown = check(&["-r", REFUSED, "--show", "1"], 1);
    for part in ["connect_refused", "10.50.2.2:9000", "/orders/3", "tcp.stream", "frame.number"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let said = refusal(&["-r", REFUSED, "--show", "3"]);
    assert!(said.contains("no incident 3: the report has 2"), "{said}");
}

#[test]
fn an_incident_in_full_is_text() {
    for format in ["json", "ndjson", "csv"] {
        let said = refusal(&["-r", REFUSED, "--show", "1", "--format", format]);
        assert!(said.contains("--show prints text") && said.contains(format), "{said}");
    }
    check(&["-r", REFUSED, "--show", "1", "--format", "text"], 1);
}

/// A client that is answered before it has sent its request to the end has not waited.
#[test]
fn an_answer_before_the_end_of_the_request_is_no_latency() {
    let path = story::path("nginx-early-413");
    let report = json(&["-r", &path], 1);
    assert_eq!(report["incidents"][0]["downstream"]["wait_us"], Value::Null);
    assert_eq!(report["latency"]["failed_wait"]["n"], 0);
    let shown = check(&["-r", &path, "--show", "1"], 1);
    assert!(!shown.contains("after 0ms"), "{shown}");
}

/// The upstream answered half a second after the gateway had given up.
#[test]
fn a_late_answer_does_not_make_the_gateway_more_patient() {
    let report = json(&["-r", &story::path("nginx-timeout-late-answer")], 1);
    let gave_up = report["upstreams"][0]["gave_up_us"]["max"].as_u64().unwrap();
    assert!((2_000_000..2_010_000).contains(&gave_up), "{gave_up}");
}

#[test]
fn health_probes_are_no_attempts() {
    let report = json(&["-r", &story::path("haproxy-health-checks-down")], 1);
    let upstream = &report["upstreams"][0];
    assert_eq!(upstream["attempts"], 3);
    assert_eq!(upstream["failed"], serde_json::json!({}));
    assert_eq!(upstream["health_probes"], serde_json::json!({"sent": 15, "failed": 6}));
    assert_eq!(report["totals"]["health_probes"], upstream["health_probes"]);
    assert_eq!(report["latency"]["upstream_wait"]["n"], 3);
}

#[test]
fn json_is_one_object_with_the_keys_of_the_contract() {
    let report = json(&["-r", REFUSED], 1);
    assert_eq!(report["schema"], "netwatch502/report/1");
    let keys = ["inputs", "focus", "capture_filter", "coverage", "totals", "gateways", "incidents", "episodes"];
    for key in keys.iter().chain(&["upstreams", "latency"]) {
        assert!(report.get(key).is_some(), "{key}");
    }
    let keys = ["id", "kind", "status", "cause", "detail", "phase", "proxy_status", "grade", "summary", "time"];
    let more = ["downstream", "attempts", "evidence", "ruled_out", "candidates", "not_known", "episode", "log_lines"];
    for incident in report["incidents"].as_array().unwrap() {
        for key in keys.iter().chain(&more).chain(&["advice"]) {
            assert!(incident.get(key).is_some(), "{key}");
        }
        assert!(!incident["evidence"].as_array().unwrap().is_empty(), "every finding names a frame");
        for evidence in incident["evidence"].as_array().unwrap() {
            assert!(evidence["frame"]["n"].as_u64().unwrap() > 0);
            assert!(evidence["frame"].get("file").is_none(), "with one input the frame's number is enough");
        }
    }
    assert_eq!(check(&["-r", REFUSED, "--json"], 1), check(&["-r", REFUSED, "--format", "json"], 1));
}

#[test]
fn ndjson_is_one_object_a_line() {
    let printed = check(&["-r", REFUSED, "--ndjson"], 1);
    let kinds: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].take()).collect();
    assert_eq!(kinds, ["incident", "incident", "summary"]);
}

#[test]
fn csv_is_a_header_and_a_row_for_each_incident() {
    let printed = check(&["-r", REFUSED, "--format", "csv"], 1);
    let rows: Vec<Vec<String>> = printed.lines().map(fields).collect();
    assert_eq!(rows.len(), 3, "{printed}");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{printed}");
    let cause = rows[0].iter().position(|name| name == "cause").unwrap();
    assert!(rows[1..].iter().all(|row| row[cause] == "connect_refused"));
}

/// The fields of a line of CSV (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

#[test]
fn a_report_goes_where_o_says() {
    let folder = Folder::new();
    let path = folder.path("report.json");
    assert_eq!(check(&["-r", REFUSED, "--json", "-o", &path], 1), "");
    assert_eq!(fs::read_to_string(&path).unwrap(), check(&["-r", REFUSED, "--json"], 1));
    let said = refusal(&["-r", REFUSED, "-o", &folder.path("no/such/folder/report")]);
    assert!(said.contains("cannot write"), "{said}");
}

#[test]
fn of_an_empty_file_nothing_is_reported() {
    let folder = Folder::new();
    let output = run(&["-r", &folder.file("empty.pcap", b"")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).ends_with("empty.pcap: empty: zero bytes\n"));
    assert!(!text(&output.stdout).contains("the rest of"));
}

#[test]
fn every_exchange_is_a_row() {
    let folder = Folder::new();
    for name in ["nginx-connect-refused", "nginx-process-death", "chain-haproxy-nginx-refused"] {
        let (csv, ndjson) = (folder.path("exchanges.csv"), folder.path("exchanges.ndjson"));
        let report = json(&["-r", &story::path(name), "--exchanges", &csv], 1);
        json(&["-r", &story::path(name), "--exchanges", &ndjson], 1);
        let exchanges = report["totals"]["exchanges"].as_u64().unwrap();
        let (csv, ndjson) = (fs::read_to_string(csv).unwrap(), fs::read_to_string(ndjson).unwrap());
        let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        assert_eq!(header, netwatch502::report::exchanges::COLUMNS, "{name}");
        assert_eq!(csv.lines().count() as u64, exchanges + 1, "{name}");
        assert!(csv.lines().all(|line| fields(line).len() == header.len()), "{name}: {csv}");
        assert_eq!(ndjson.lines().count() as u64, exchanges, "{name}");
        for line in ndjson.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            assert!(header.iter().all(|column| row.get(column).is_some()), "{name}: {line}");
        }
    }
    assert!(refusal(&["-r", REFUSED, "--exchanges", &folder.path("exchanges.txt")]).contains(".csv or .ndjson"));
}

#[test]
fn what_was_read_of_a_cut_file_is_reported() {
    let folder = Folder::new();
    let whole = fs::read(REFUSED).unwrap();
    let cut = folder.file("cut.pcapng", &whole[..whole.len() - 1003]);
    let output = run(&["-r", &cut, "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("cut in the middle of") && said.contains("what was read until then is reported"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["incidents"].as_array().unwrap().len(), 2);
    assert_ne!(report["inputs"][0]["ended"], "complete");
}

#[test]
fn an_expression_is_the_focus() {
    let all = json(&["-r", REFUSED], 1);
    let focused = json(&["-r", REFUSED, "port", "8080"], 1);
    assert_eq!(focused["focus"], "port 8080");
    assert_eq!(focused["incidents"].as_array().unwrap().len(), all["incidents"].as_array().unwrap().len());
    assert_eq!(focused["incidents"][0]["cause"], "connect_refused", "the upstream's leg is seen all the same");
    let after: Value = serde_json::from_str(&check(&["-r", REFUSED, "port", "8080", "--json"], 1)).unwrap();
    assert_eq!(after, focused, "a flag behind the expression is a flag");
    assert!(refusal(&["-r", REFUSED, "port", "8080", "--jason"]).contains("--json"));
    let nothing = json(&["-r", REFUSED, "port 9999"], 0);
    assert_eq!(nothing["incidents"].as_array().unwrap().len(), 0);
}

#[test]
fn an_exact_filter_hides_what_does_not_match() {
    let exact = json(&["-r", REFUSED, "--exact-filter", "port 8080"], 1);
    assert_eq!(exact["upstreams"].as_array().unwrap().len(), 0);
    for incident in exact["incidents"].as_array().unwrap() {
        assert_ne!(incident["cause"], "connect_refused");
        assert_ne!(incident["grade"], "proven");
    }
    assert!(refusal(&["-r", REFUSED, "--exact-filter"]).contains("EXPR"));
}

#[test]
fn addresses_of_one_gateway_can_be_told() {
    let told = json(&["-r", REFUSED, "--proxy", "10.50.1.1,10.50.2.1"], 1);
    assert_eq!(told["gateways"][0]["addresses"], serde_json::json!(["10.50.1.1", "10.50.2.1"]));
    assert!(refusal(&["-r", REFUSED, "--proxy", "gateway"]).contains("invalid"));
}

#[test]
fn several_files_are_one_stream_whose_frames_name_their_file() {
    let folder = Folder::new();
    let packets = story::packets("nginx-connect-refused");
    let parts = packets.split_at(packets.len() / 2);
    let first = folder.file("1.pcapng", &packets::pcapng(parts.0));
    let second = folder.file("2.pcap", &packets::pcapng(parts.1));
    let report = json(&["-r", &second, "-r", &first], 1);
    assert_eq!(report["inputs"].as_array().unwrap().len(), 2);
    let incidents = report["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 2);
    for incident in incidents {
        let file = incident["evidence"][0]["frame"]["file"].as_u64().unwrap();
        assert!(file < 2);
    }
}

#[test]
fn standard_input_is_a_dash() {
    let octets = fs::read(REFUSED).unwrap();
    let output = Command::new(PROGRAM).args(["-r", "-", "--json"]).write_stdin(octets).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["inputs"][0]["name"]), (Some(1), &Value::from("-")));
}

#[test]
fn a_reader_that_leaves_is_content() {
    let mut child = std::process::Command::new(PROGRAM)
        .args(["-r", REFUSED, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}

#[test]
fn colour_is_for_terminals_and_who_asks_for_it() {
    assert!(!check(&["-r", REFUSED], 1).contains('\u{1b}'));
    assert!(check(&["-r", REFUSED, "--color", "always"], 1).contains("\u{1b}["));
    assert!(!check(&["-r", REFUSED, "--color", "never"], 1).contains('\u{1b}'));
    let asked = Command::new(PROGRAM).env("NO_COLOR", "1").args(["-r", REFUSED, "--color", "always"]).output().unwrap();
    assert!(text(&asked.stdout).contains("\u{1b}["), "who asks by a flag has the last word");
}

const EVIL_REQUEST: &[u8] =
    b"GET /a\x1b[31mred?token=hunter2&x=\x9b2J HTTP/1.1\r\nHost: shop\x1b]0;owned\x07\r\nCookie: sid=hunter3\r\nAuthorization: Basic aHVudGVyNA==\r\n\r\n";
const EVIL_RESPONSE: &[u8] =
    b"HTTP/1.1 502 Bad \x1b[2JGateway\r\nServer: nginx\x1b]0;owned\x07\r\nContent-Length: 0\r\n\r\n";

#[test]
fn nothing_from_the_traffic_reaches_the_terminal_as_control() {
    let folder = Folder::new();
    let talk = Talk::refused(EVIL_REQUEST, EVIL_RESPONSE);
    let file = folder.file("evil.pcap", &packets::pcap(&talk.packets));
    let exchanges = folder.path("exchanges.csv");
    let runs: [&[&str]; 5] = [&[], &["--json"], &["--ndjson"], &["--format", "csv"], &["--show", "1"]];
    for arguments in runs {
        let arguments = [&["-r", &file, "--exchanges", &exchanges, "--show-secrets"], arguments].concat();
        let printed = check(&arguments, 1) + &fs::read_to_string(&exchanges).unwrap();
        let control = printed.chars().find(|c| c.is_control() && *c != '\n' && *c != '\r');
        assert_eq!(control, None, "{arguments:?}: {printed:?}");
    }
}

#[test]
fn secrets_are_cut_unless_asked_for() {
    let folder = Folder::new();
    let request = b"POST /login?user=ann&token=hunter2 HTTP/1.1\r\nHost: shop\r\nCookie: sid=hunter2\r\nAuthorization: Basic hunter2\r\nContent-Length: 7\r\n\r\nhunter2";
    let response =
        b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nSet-Cookie: sid=hunter2\r\nContent-Length: 7\r\n\r\nhunter2";
    let file = folder.file("secret.pcap", &packets::pcap(&Talk::refused(request, response).packets));
    let exchanges = folder.path("exchanges.csv");
    let runs: [&[&str]; 5] = [&[], &["--json"], &["--ndjson"], &["--format", "csv"], &["--show", "1"]];
    for arguments in runs {
        let arguments = [&["-r", &file, "--exchanges", &exchanges], arguments].concat();
        let printed = check(&arguments, 1) + &fs::read_to_string(&exchanges).unwrap();
        assert!(printed.contains("/login") && !printed.contains("hunter2"), "{arguments:?}: {printed}");
    }
    let shown = json(&["-r", &file, "--show-secrets"], 1);
    assert_eq!(shown["incidents"][0]["downstream"]["target"], "/login?user=ann&token=hunter2");
}

#[test]
fn reading_stops_after_as_many_packets_as_asked() {
    let report = json(&["-r", REFUSED, "-c", "5"], 0);
    assert_eq!(report["inputs"][0]["packets"], 5);
}

#[test]
fn v_says_what_was_read_on_standard_error_only() {
    let output = run(&["-r", REFUSED, "-v"]);
    assert!(text(&output.stderr).contains("packets in"));
    assert_eq!(text(&output.stdout), check(&["-r", REFUSED], 1));
}
