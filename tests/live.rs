//! Packets as they pass: every frame once and in order, the last ones before a stop too; and nothing left of root's rights.
//! Each test has a network namespace of its own, so that nothing else is seen on it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use netwatch502::capture::live::{Ended, Live, Next, Notice, Options, State, list_interfaces};
use netwatch502::flow::steer::Captured;
use netwatch502::wire::link::LinkType;
use netwatch502::wire::packet::{Content, decode};

/// What a test looks at of a frame.
#[derive(Clone, Debug)]
struct Seen {
    number: u64,
    at_ns: i64,
    link: LinkType,
    interface: u32,
    /// Destination port.
    port: u16,
    /// A SYN without ACK.
    opens: bool,
    payload: Vec<u8>,
}

impl Seen {
    fn of(captured: &Captured<'_>) -> Option<Self> {
        let packet = decode(captured.link, captured.octets, captured.length).ok()?;
        let (port, opens, payload) = match packet.content {
            Content::Tcp(tcp) => (tcp.destination_port, tcp.flags.syn() && !tcp.flags.ack(), tcp.payload.to_vec()),
            Content::Udp(udp) => (udp.destination_port, false, udp.payload.to_vec()),
            _ => return None,
        };
        Some(Self {
            number: captured.frame.number(),
            at_ns: captured.at.as_nanos(),
            link: captured.link,
            interface: captured.interface,
            port,
            opens,
            payload,
        })
    }
}

fn start(interfaces: &[&str], filter: Option<&str>) -> Live {
    let options = Options {
        interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
        filter: filter.map(str::to_owned),
        buffer: 4 << 20,
        ..Options::default()
    };
    Live::open(&options).unwrap().start().unwrap()
}

/// Takes what comes until `enough` says so, or the end.
fn take(live: &mut Live, seen: &mut Vec<Seen>, mut enough: impl FnMut(&[Seen], &Next) -> bool) -> Next {
    let began = Instant::now();
    loop {
        let next = live.next(Duration::from_millis(50));
        if let Next::Batch(batch) = &next {
            assert_eq!(batch.len(), batch.iter().len());
            seen.extend(batch.iter().filter_map(|captured| Seen::of(&captured)));
        }
        if enough(seen, &next) || matches!(next, Next::Ended(_)) {
            return next;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain; seen: {}, last: {next:?}", seen.len());
    }
}

/// Stops, and takes the rest.
fn stop(live: &mut Live, seen: &mut Vec<Seen>) {
    live.stop();
    let Next::Ended(ended) = take(live, seen, |_, _| false) else { panic!("no end") };
    assert_eq!(ended, Ended::Stopped);
    assert!(matches!(live.next(Duration::ZERO), Next::Ended(Ended::Stopped)), "the end stays");
}

/// Sends datagrams on loopback, each with its number.
fn send(port: u16, numbers: std::ops::Range<u32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in numbers {
        socket.send_to(&number.to_be_bytes(), ("127.0.0.1", port)).unwrap();
    }
}

fn numbers(seen: &[Seen], port: u16) -> Vec<u32> {
    let wanted = seen.iter().filter(|seen| seen.port == port);
    wanted.map(|seen| u32::from_be_bytes(seen.payload[..4].try_into().unwrap())).collect()
}

/// A receiver, so that no datagram is answered by ICMP.
fn receiver() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[test]
fn what_a_server_does_is_seen_once_and_in_order() {
    world::alone("what_a_server_does_is_seen_once_and_in_order", || {
        world::set_up("lo", true);
        for (interface, link) in [("lo", LinkType::ETHERNET), ("any", LinkType::LINUX_SLL2)] {
            let mut live = start(&[interface], Some("tcp"));
            assert_eq!(live.interfaces()[0].link, link);
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = server.local_addr().unwrap().port();
            let answering = thread::spawn(move || {
                for stream in server.incoming().take(CONNECTIONS) {
                    let mut stream = stream.unwrap();
                    let mut request = [0; 8];
                    stream.read_exact(&mut request).unwrap();
                    stream.write_all(&request).unwrap();
                }
            });
            for number in 0..CONNECTIONS {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(format!("{number:08}").as_bytes()).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                assert_eq!(answer.len(), 8);
            }
            answering.join().unwrap();
            let mut seen = Vec::new();
            stop(&mut live, &mut seen);

            assert_eq!(seen.iter().filter(|seen| seen.opens).count(), CONNECTIONS, "{interface}");
            let requests: Vec<_> = seen.iter().filter(|seen| seen.port == port && !seen.payload.is_empty()).collect();
            let expected: Vec<Vec<u8>> = (0..CONNECTIONS).map(|number| format!("{number:08}").into_bytes()).collect();
            assert_eq!(requests.iter().map(|seen| seen.payload.clone()).collect::<Vec<_>>(), expected);
            assert!(seen.iter().zip(1..).all(|(seen, number)| seen.number == number), "numbered from 1");
            assert!(seen.iter().all(|seen| seen.link == link && seen.interface == 0));
            assert!(seen.is_sorted_by_key(|seen| seen.at_ns));
            assert!(seen.iter().any(|seen| seen.at_ns % 1000 != 0), "nanoseconds");

            let counters = live.counters()[0];
            assert_eq!(counters.delivered, seen.len() as u64);
            assert_eq!((counters.received, counters.lost()), (counters.delivered, 0), "once, on loopback too");
        }
    });
}

const CONNECTIONS: usize = 300;

#[test]
fn an_idle_link_can_be_waited_for_and_stopped_on() {
    world::alone("an_idle_link_can_be_waited_for_and_stopped_on", || {
        world::set_up("lo", true);
        let mut live = start(&["lo", "any"], None);
        let began = Instant::now();
        assert!(matches!(live.next(Duration::from_millis(30)), Next::Idle));
        assert!(began.elapsed() < Duration::from_millis(200));
        let stopper = live.stopper();
        let began = Instant::now();
        thread::spawn(move || stopper.stop());
        take(&mut live, &mut Vec::new(), |_, _| false);
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    });
}

#[test]
fn what_was_sent_just_before_the_stop_is_delivered() {
    world::alone("what_was_sent_just_before_the_stop_is_delivered", || {
        world::set_up("lo", true);
        for round in 0..10 {
            let (_receiver, port) = receiver();
            let mut live = start(&["lo"], Some("udp"));
            send(port, 0..100);
            let mut seen = Vec::new();
            stop(&mut live, &mut seen);
            assert_eq!(numbers(&seen, port), (0..100).collect::<Vec<_>>(), "round {round}");
        }
    });
}

#[test]
fn a_full_pipeline_waits_in_the_ring_and_loses_nothing() {
    world::alone("a_full_pipeline_waits_in_the_ring_and_loses_nothing", || {
        world::set_up("lo", true);
        let (_receiver, port) = receiver();
        let mut live = start(&["lo"], Some("udp"));
        // More than all buffers hold, and less than the ring; nobody takes any of it until it is stopped.
        send(port, 0..12_000);
        let mut seen = Vec::new();
        stop(&mut live, &mut seen);
        assert_eq!(numbers(&seen, port), (0..12_000).collect::<Vec<_>>());
        assert_eq!(live.counters()[0].lost(), 0);
    });
}

#[test]
fn another_filter_takes_effect_and_one_that_means_nothing_does_not() {
    world::alone("another_filter_takes_effect_and_one_that_means_nothing_does_not", || {
        world::set_up("lo", true);
        let ((_one, first), (_other, second)) = (receiver(), receiver());
        let mut live = start(&["lo"], Some(&format!("udp port {first}")));
        let mut seen = Vec::new();
        send(first, 0..10);
        send(second, 0..10);
        let error = live.refilter("port http and and".to_owned()).unwrap_err().to_string();
        assert!(error.starts_with("filter 'port http and and': cannot be used on lo: "), "{error}");
        let long = vec!["port 1"; 1000].join(" or ");
        let error = live.refilter(long).unwrap_err().to_string();
        assert!(error.starts_with("the filter has 2999 words"), "{error}");
        send(first, 10..20);
        take(&mut live, &mut seen, |seen, _| numbers(seen, first).len() == 20);
        assert!(numbers(&seen, second).is_empty());

        live.refilter(format!("udp port {second}")).unwrap();
        // Until the first of them comes the old filter may be in force.
        let mut sent = 100;
        take(&mut live, &mut seen, |seen, _| {
            send(second, sent..sent + 1);
            sent += 1;
            !numbers(seen, second).is_empty()
        });
        send(first, 20..30);
        send(second, sent..sent + 10);
        stop(&mut live, &mut seen);
        assert_eq!(numbers(&seen, first), (0..20).collect::<Vec<_>>());
        assert!(numbers(&seen, second).ends_with(&(sent..sent + 10).collect::<Vec<_>>()));
    });
}

#[test]
fn nothing_is_missed_while_filters_change() {
    world::alone("nothing_is_missed_while_filters_change", || {
        world::set_up("lo", true);
        for interface in ["lo", "any"] {
            let ((_one, port), (_other, other)) = (receiver(), receiver());
            let mut live = start(&[interface], Some(&format!("udp port {port}")));
            let sender = thread::spawn(move || {
                for hundred in 0..600 {
                    send(port, hundred * 100..hundred * 100 + 100);
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let mut seen = Vec::new();
            let mut filters = (0..).map(|round| match round % 2 {
                0 => format!("udp port {port} or udp port {other}"),
                _ => format!("ip and udp port {port}"),
            });
            while !sender.is_finished() {
                live.refilter(filters.next().unwrap()).unwrap();
                take(&mut live, &mut seen, |_, _| true);
            }
            sender.join().unwrap();
            stop(&mut live, &mut seen);
            assert_eq!(live.counters()[0].lost(), 0);
            let expected: Vec<u32> = (0..60_000).collect();
            let seen = numbers(&seen, port);
            assert_eq!((seen.len(), seen == expected), (expected.len(), true), "{interface}");
        }
    });
}

/// Sends numbered datagrams out of the interface with this address.
fn broadcast(address: Ipv4Addr, numbers: std::ops::Range<u32>) {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    let [a, b, c, _] = address.octets();
    for number in numbers {
        socket.send_to(&number.to_be_bytes(), (Ipv4Addr::new(a, b, c, 255), 9000)).unwrap();
    }
}

#[test]
fn several_interfaces_are_one_stream_in_the_order_of_time() {
    world::alone("several_interfaces_are_one_stream_in_the_order_of_time", || {
        world::set_up("lo", true);
        let address = Ipv4Addr::new(10, 9, 8, 1);
        world::make_pair("left", "right", address);
        let (_receiver, port) = receiver();
        let mut live = start(&["left", "right", "lo", "left"], Some("udp"));
        assert_eq!(live.interfaces().len(), 3, "a name that comes twice counts once");
        let mut seen = Vec::new();
        for round in 0..50 {
            broadcast(address, round * 10..round * 10 + 10);
            send(port, round..round + 1);
            if round == 25 {
                // A part of it goes through the hold-back, the rest through the stop.
                take(&mut live, &mut seen, |seen, _| numbers(seen, 9000).len() > 100);
            }
        }
        stop(&mut live, &mut seen);
        let of = |interface: u32, port| {
            let of: Vec<Seen> = seen.iter().filter(|seen| seen.interface == interface).cloned().collect();
            numbers(&of, port)
        };
        assert_eq!(of(0, 9000), (0..500).collect::<Vec<_>>());
        assert_eq!(of(1, 9000), (0..500).collect::<Vec<_>>());
        assert_eq!(of(2, port), (0..50).collect::<Vec<_>>());
        assert!(seen.is_sorted_by_key(|seen| seen.at_ns));
        assert!(seen.is_sorted_by_key(|seen| seen.number));
    });
}

#[test]
fn an_interface_that_goes_is_named_and_the_others_go_on() {
    world::alone("an_interface_that_goes_is_named_and_the_others_go_on", || {
        world::set_up("lo", true);
        let address = Ipv4Addr::new(10, 9, 8, 1);
        world::make_pair("left", "right", address);
        let (_receiver, port) = receiver();
        let mut live = start(&["left", "lo"], Some("udp"));
        let mut seen = Vec::new();

        broadcast(address, 0..10);
        world::set_up("left", false);
        let next = take(&mut live, &mut seen, |_, next| matches!(next, Next::Notice(_)));
        assert!(matches!(&next, Next::Notice(Notice::Down { interface: 0, .. })), "{next:?}");
        world::set_up("left", true);
        broadcast(address, 10..20);
        take(&mut live, &mut seen, |seen, _| numbers(seen, 9000).len() == 20);

        broadcast(address, 20..30);
        world::remove("left");
        let next = take(&mut live, &mut seen, |_, next| matches!(next, Next::Notice(Notice::Gone { .. })));
        let Next::Notice(notice) = next else { panic!("{next:?}") };
        assert_eq!(notice.to_string(), "left: capturing ended: the interface was removed");
        send(port, 0..10);
        take(&mut live, &mut seen, |seen, _| numbers(seen, port).len() == 10);
        assert_eq!(numbers(&seen, 9000), (0..30).collect::<Vec<_>>(), "what was seen before is not lost");
        assert_eq!(live.counters()[0].delivered, 30);
        stop(&mut live, &mut seen);
    });
}

#[test]
fn when_the_last_interface_goes_the_capture_ends() {
    world::alone("when_the_last_interface_goes_the_capture_ends", || {
        let address = Ipv4Addr::new(10, 9, 8, 1);
        world::make_pair("left", "right", address);
        let mut live = start(&["left"], Some("udp"));
        broadcast(address, 0..10);
        world::remove("left");
        let mut seen = Vec::new();
        let next = take(&mut live, &mut seen, |_, _| false);
        assert!(matches!(next, Next::Ended(Ended::NoInterfaceLeft)), "{next:?}");
        assert_eq!(numbers(&seen, 9000), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn what_cannot_be_opened_is_a_sentence() {
    world::alone("what_cannot_be_opened_is_a_sentence", || {
        let check = |name: &str, filter: Option<&str>, expected: &str| {
            let interfaces = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
            let options = Options { interfaces, filter: filter.map(str::to_owned), ..Options::default() };
            let error = Live::open(&options).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("", None, "no interface: name one with -i, for example -i any");
        check("lo", None, "lo: the interface is down; take it up first: sudo ip link set lo up");
        world::set_up("lo", true);
        world::make_pair("left", "right", Ipv4Addr::new(10, 9, 8, 1));
        check("lo1", None, "lo1: no such interface; did you mean lo?");
        check("eth99", None, "eth99: no such interface; there are: any, left, lo, right");
        check("lo", Some("tcp prot 80"), "filter 'tcp prot 80': cannot be used on lo: ");
        check("any", Some("vlan 5"), "filter 'vlan 5': cannot be used on any: ");
        let list = list_interfaces().unwrap();
        assert!(
            list.iter()
                .any(|listed| listed.name == "left" && listed.addresses.contains(&Ipv4Addr::new(10, 9, 8, 1).into()))
        );
        assert!(list.iter().any(|listed| listed.name == "right" && listed.state == State::Running), "{list:?}");
    });
}
