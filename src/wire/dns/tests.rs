use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, Question, RCODE, ResourceRecord};

use super::*;

/// An answer to a question for the addresses of a name.
fn answer(name: &str, kind: u16, code: RCODE, records: &[(&str, u32, RData<'static>)]) -> Vec<u8> {
    let mut packet = Packet::new_reply(0x1a2b);
    let kind = simple_dns::TYPE::from(kind).into();
    packet.questions.push(Question::new(Name::new(name).unwrap().into_owned(), kind, CLASS::IN.into(), false));
    *packet.rcode_mut() = code;
    for (name, ttl, data) in records {
        let name = Name::new(name).unwrap().into_owned();
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, *ttl, data.clone()));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

fn name(text: &'static str) -> Name<'static> {
    Name::new(text).unwrap()
}

const V4: [u8; 4] = [10, 0, 0, 7];

fn found() -> Vec<u8> {
    answer(
        "App.Shop.Example",
        1,
        RCODE::NoError,
        &[
            ("App.Shop.Example", 300, RData::CNAME(CNAME(name("lb.shop.example")))),
            ("lb.shop.example", 30, RData::A(A { address: u32::from_be_bytes(V4) })),
        ],
    )
}

#[test]
fn an_answer_says_which_addresses_a_name_has_and_for_how_long() {
    let read = message(&found()).unwrap();
    assert!(read.response && !read.cut && !read.truncated);
    assert_eq!((read.id, read.code, read.kind), (0x1a2b, Code::NOERROR, Kind::A));
    assert_eq!(&*read.name, "app.shop.example", "in lower case");
    assert_eq!(read.aliases.as_slice(), ["lb.shop.example".into()]);
    assert_eq!(read.addresses.as_slice(), [IpAddr::from(V4)]);
    assert_eq!(read.lifetime, Some(Duration::from_secs(30)));
}

#[test]
fn the_question_survives_wherever_an_answer_is_cut() {
    let whole = found();
    let question = 12 + "App.Shop.Example".len() + 2 + 4;
    for length in 0..whole.len() {
        let read = message(whole.get(..length).unwrap());
        assert_eq!(read.is_some(), length >= question, "{length}");
        assert!(read.is_none_or(|read| read.cut && &*read.name == "app.shop.example"), "{length}");
    }
}

#[test]
fn a_negative_answer_holds_as_long_as_the_zone_says() {
    let mut octets = answer("no.example", 28, RCODE::NameError, &[]);
    octets[9] = 1; // one record of authority
    // SOA of the root: TTL 60, names of the server and its keeper, five numbers of which the last is 20.
    octets.extend([0, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0]);
    octets.extend([1_u32, 2, 3, 4, 20].iter().flat_map(|number| number.to_be_bytes()));
    let read = message(&octets).unwrap();
    assert_eq!((read.code, read.kind, read.cut), (Code::NXDOMAIN, Kind::AAAA, false));
    assert_eq!(read.lifetime, Some(Duration::from_secs(20)));
}

#[test]
fn options_hold_the_upper_half_of_the_code_and_the_server_s_reason() {
    let mut octets = answer("app.example", 1, RCODE::ServerFailure, &[]);
    octets[11] = 1; // one additional record
    let text = b"no signature";
    octets.extend([0, 0, 41, 4, 0, 1, 0, 0, 0, 0, 4 + 2 + text.len() as u8]);
    octets.extend([0, 15, 0, 2 + text.len() as u8, 0, 10]);
    octets.extend(text);
    let read = message(&octets).unwrap();
    assert_eq!(read.code, Code(16 + 2));
    assert_eq!(read.reason, Some((10, "no signature".into())));
    assert_eq!(reason(10), Some("RRSIGs missing"));
}

#[test]
fn a_binding_of_https_hints_at_addresses() {
    let mut octets = answer("app.example", 65, RCODE::NoError, &[]);
    octets[7] = 1; // one answer
    // The name by a pointer to the question; priority 1, the target itself, ALPN, and an address.
    octets.extend([0xc0, 12, 0, 65, 0, 1, 0, 0, 0, 9, 0, 18, 0, 1, 0, 0, 1, 0, 3, 2, b'h', b'2', 0, 4, 0, 4]);
    octets.extend(V4);
    let read = message(&octets).unwrap();
    assert_eq!((read.kind, read.addresses.as_slice()), (Kind::HTTPS, [IpAddr::from(V4)].as_slice()));
}

#[test]
fn pointers_lead_backwards_only() {
    let header = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for name in [[0xc0, 12], [0xc0, 14], [0xc0, 255]] {
        assert_eq!(message(&[&header[..], &name, &[0, 1, 0, 1, 0, 0]].concat()), None, "{name:?}");
    }
    // A label, then a pointer to that label.
    assert_eq!(message(&[&header[..], &[1, b'a', 0xc0, 12, 0, 1, 0, 1]].concat()), None);
}

#[test]
fn what_is_no_question_of_one_name_is_not_read() {
    let octets = found();
    for (at, value) in [(2, 0x28), (5, 0), (5, 2)] {
        let mut other = octets.clone();
        other[at] = value;
        assert_eq!(message(&other), None, "octet {at} is {value}");
    }
}

#[test]
fn odd_octets_of_a_name_are_escaped() {
    let octets = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, b'a', b'.', 0x1b, b'\\', 1, b'B', 0, 0, 1, 0, 1];
    assert_eq!(&*message(&octets).unwrap().name, r"a\.\027\\.b");
}

fn label() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,12}"
}

fn any_name() -> impl Strategy<Value = String> {
    prop::collection::vec(label(), 1..6).prop_map(|labels| labels.join("."))
}

fn any_record() -> impl Strategy<Value = (u32, RData<'static>)> {
    let data = prop_oneof![
        any::<u32>().prop_map(|address| RData::A(A { address })),
        any::<u128>().prop_map(|address| RData::AAAA(AAAA { address })),
        any_name().prop_map(|name| RData::CNAME(CNAME(Name::new(&name).unwrap().into_owned()))),
    ];
    (0_u32..1_000_000, data)
}

proptest! {
    #[test]
    fn messages_are_read_as_simple_dns_reads_them(
        asked in any_name(),
        kind in prop_oneof![Just(1_u16), Just(28)],
        records in prop::collection::vec(any_record(), 0..5),
        code in prop_oneof![Just(RCODE::NoError), Just(RCODE::ServerFailure), Just(RCODE::NameError), Just(RCODE::Refused)],
        truncated in any::<bool>(),
    ) {
        let records: Vec<_> = records.iter().map(|(ttl, data)| (asked.as_str(), *ttl, data.clone())).collect();
        let mut octets = answer(&asked, kind, code, &records);
        octets[2] |= u8::from(truncated) * TRUNCATED;
        let theirs = Packet::parse(&octets).unwrap();
        let ours = message(&octets).unwrap();
        prop_assert_eq!(ours.id, theirs.id());
        prop_assert_eq!(ours.code.0, theirs.rcode() as u16);
        prop_assert_eq!(ours.truncated, theirs.has_flags(simple_dns::PacketFlag::TRUNCATION));
        prop_assert!(ours.response && !ours.cut);
        prop_assert_eq!(&*ours.name, theirs.questions[0].qname.to_string().to_ascii_lowercase());
        let addresses = theirs.answers.iter().filter_map(|record| match &record.rdata {
            RData::A(a) => Some(IpAddr::from(Ipv4Addr::from(a.address))),
            RData::AAAA(a) => Some(IpAddr::from(Ipv6Addr::from(a.address))),
            _ => None,
        });
        prop_assert_eq!(ours.addresses.to_vec(), addresses.collect::<Vec<_>>());
        let aliases = theirs.answers.iter().filter_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some(alias.0.to_string().to_ascii_lowercase().into_boxed_str()),
            _ => None,
        });
        prop_assert_eq!(ours.aliases.to_vec(), aliases.collect::<Vec<_>>());
        let least = theirs.answers.iter().map(|record| u64::from(record.ttl)).min();
        prop_assert_eq!(ours.lifetime.map(|lifetime| lifetime.as_secs()), least);
    }

    #[test]
    fn whatever_the_octets_are_names_stay_within_their_bound(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut octets = octets;
        if let Some(header) = octets.first_chunk_mut::<12>() {
            (header[2], header[4], header[5]) = (header[2] & !OPCODE, 0, 1);
        }
        if let Some(read) = message(&octets) {
            prop_assert!(read.name.len() <= LONGEST_NAME);
        }
    }
}
