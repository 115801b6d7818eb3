use super::*;

#[test]
fn the_end_of_a_header_section_is_found_across_pieces() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
    assert_eq!(head_end(head, 0), Some(27));
    for searched in 0..27 {
        assert_eq!(head_end(head, searched), Some(27), "{searched} octets searched before");
    }
    assert_eq!(head_end(b"GET / HTTP/1.0\n\nbody", 0), Some(16));
    assert_eq!(head_end(b"GET / HTTP/1.1\r\nHost: a\r\n", 0), None);
}

#[test]
fn odd_targets_and_octets_are_read_all_the_same() {
    let mut room = Fields::new();
    let head = request(b"GET /a b\xff HTTP/1.1\r\nX: \xe4\r\n\r\n", &mut room).unwrap();
    assert_eq!((head.target, head.minor_version), (&b"/a b\xff"[..], 1));
    let head = request(b"GET /old\r\n\r\n", &mut room).unwrap();
    assert_eq!((head.target, head.minor_version, head.fields), (&b"/old"[..], 0, &[][..]));
    assert!(request(b"\x16\x03\x01 nothing\r\n\r\n", &mut room).is_none());
}

#[test]
fn what_stands_of_a_header_section_that_is_cut_is_read() {
    let mut room = Fields::new();
    let head = cut_request(b"GET /a HTTP/1.1\r\nHost: h\r\nX-Id: 12", &mut room).unwrap();
    assert_eq!((head.target, head.target_is_whole, head.fields.len()), (&b"/a"[..], true, 1));
    let head = cut_request(b"GET /a/b", &mut room).unwrap();
    assert_eq!((head.method, head.target, head.target_is_whole), (&b"GET"[..], &b"/a/b"[..], false));
    let head = cut_response(b"HTTP/1.1 502 Bad Gateway\r\nServer: s\r\nContent-Length: 1", &mut room).unwrap();
    assert_eq!((head.status, head.fields.len(), head.defect), (Some(502), 1, None));
    assert_eq!(cut_response(b"HTTP/1.1 502", &mut room).unwrap().status, Some(502));
    assert!(cut_response(b"HTTP/1.1 50", &mut room).is_none());
}

#[test]
fn a_whole_header_section_is_read_with_its_length_and_no_other() {
    let mut room = Fields::new();
    let octets = b"GET /a HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\nGET /b";
    let (head, length) = whole_request(octets, &mut room).unwrap();
    assert_eq!((head.target, head.fields.len(), Some(length)), (&b"/a"[..], 2, head_end(octets, 0)));
    let octets = b"HTTP/1.1 200 OK\r\nServer: s\r\n\r\nbody";
    let (head, length) = whole_response(octets, &mut room).unwrap();
    assert_eq!((head.status, head.fields.len(), Some(length)), (Some(200), 1, head_end(octets, 0)));
    assert!(whole_request(b"GET /a HTTP/1.1\r\nHost: h\r\n", &mut room).is_none());
    assert!(whole_response(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", &mut room).is_none());
}

#[test]
fn every_kind_of_defect_is_found_with_its_offset() {
    let check = |head: &[u8], kind: DefectKind, at: usize| {
        assert_eq!(response(head, &mut Fields::new()).defect, Some((kind, at)), "{}", head.escape_ascii());
    };
    check(b"HTTP/1.1 OK\r\n\r\n", DefectKind::BadStatusLine, 9);
    check(b"HTTP/1.1 20000 OK\r\n\r\n", DefectKind::BadStatusLine, 12);
    check(b"HTTP 200 OK\r\n\r\n", DefectKind::BadStatusLine, 4);
    check(b"220 mail.example ESMTP\r\n\r\n", DefectKind::NotHttp, 0);
    check(b"HTTP/1.1 200 OK\r\nno field line\r\n\r\n", DefectKind::BadHeader, 17);
    check(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", DefectKind::BadHeader, 18);
    check(b"HTTP/1.1 200 OK\r\n: y\r\n\r\n", DefectKind::BadHeader, 17);
    check(b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", DefectKind::BadHeader, 21);
    assert_eq!(response(b"HTTP/1.1 200\r\nA: b\r\n\r\n", &mut Fields::new()).defect, None);
}

#[test]
fn conflicting_framing_is_found() {
    let framing_of = |lines: &[(&'static str, &'static str)]| {
        let fields: Fields<'_> =
            lines.iter().map(|(name, value)| Field::new(name.as_bytes(), value.as_bytes())).collect();
        framing(&fields)
    };
    assert_eq!(framing_of(&[("Content-Length", "5, 5")]), (Framing::Length(5), None));
    let bad = Some((DefectKind::BadContentLength, 0));
    assert_eq!(framing_of(&[("Content-Length", "-5")]), (Framing::Unreadable, bad));
    assert_eq!(framing_of(&[("Content-Length", "abc")]), (Framing::Unreadable, bad));
    assert_eq!(
        framing_of(&[("Content-Length", "5"), ("content-length", "7")]),
        (Framing::Unreadable, Some((DefectKind::BadContentLength, 1)))
    );
    let conflict = |index| Some((DefectKind::FramingConflict, index));
    assert_eq!(
        framing_of(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")]),
        (Framing::Chunked, conflict(0))
    );
    assert_eq!(
        framing_of(&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]),
        (Framing::Chunked, conflict(1))
    );
    assert_eq!(framing_of(&[("Transfer-Encoding", "gzip, chunked")]), (Framing::Chunked, None));
    assert_eq!(framing_of(&[("Transfer-Encoding", "gzip")]), (Framing::Coded, conflict(0)));
    assert_eq!(framing_of(&[("Transfer-Encoding", "chunked, gzip")]), (Framing::Coded, conflict(0)));
    assert_eq!(framing_of(&[]), (Framing::Undeclared, None));
}

#[test]
fn fields_are_known_by_their_names_in_any_case() {
    let known = [
        ("Host", FieldName::Host),
        ("Via", FieldName::Via),
        ("Content-Length", FieldName::ContentLength),
        ("Transfer-Encoding", FieldName::TransferEncoding),
        ("X-Forwarded-Server", FieldName::XForwardedServer),
        ("X-Forwarded-Proto", FieldName::XForwarded),
        ("X-Forwarded-P", FieldName::XForwarded),
        ("X-Forwarded-", FieldName::Other),
        ("Accept-Encoding", FieldName::Common),
        ("TE", FieldName::Common),
        ("Cookie", FieldName::Other),
        ("", FieldName::Other),
        // What differs from a letter or a sign in the bit of its case is another octet.
        ("Content\rLength", FieldName::Other),
        ("Hos\u{54}", FieldName::Host),
        ("Hos\u{14}", FieldName::Other),
    ];
    for (name, field) in known {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            assert_eq!(FieldName::of(name.as_bytes()), field, "{name:?}");
        }
    }
}
