//! Known answers of RFC 8448, and records that are not what they should be.

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn secret(hex: &str) -> Secret {
    Secret::new(&octets(hex)).unwrap()
}

fn record(octets: &[u8]) -> Record<'_> {
    let [content_type, v0, v1, _, _, fragment @ ..] = octets else { panic!("no record") };
    Record { content_type: *content_type, version: u16::from_be_bytes([*v0, *v1]), fragment }
}

/// RFC 8448 section 3: the client's traffic secret, and its first record of application data.
const CLIENT: &str = "9e40646c e79a7f9d c05af888 9bce6552 875afa0b 06df0087 f792ebb7 c17504a5";
const CLIENT_RECORD: &str = "1703030043 a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e\
                             2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
/// The server's.
const SERVER: &str = "a11af9f0 5531f856 ad47116b 45a95032 8204b4f4 4bfb6b3a 4b4f1f3f cb631643";

#[test]
fn tls_1_3_opens_the_records_of_rfc_8448() {
    let mut opener = Opener::of_traffic_secret(0x1301, &secret(CLIENT)).unwrap();
    let sealed = octets(CLIENT_RECORD);
    let mut plaintext = Vec::new();
    assert_eq!(opener.open(&record(&sealed), &mut plaintext), Some(23));
    assert_eq!(plaintext, (0..50).collect::<Vec<u8>>());
    assert_eq!(opener.overhead(), Some(sealed.len() - plaintext.len()));
    assert_eq!(opener.open(&record(&sealed), &mut plaintext), None, "it is no second record");
}

#[test]
fn keys_are_those_of_rfc_8448() {
    for (of, key, vector) in [
        (CLIENT, "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"),
        (SERVER, "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"),
    ] {
        let (mut key_found, mut vector_found) = ([0; 16], [0; 12]);
        Hash::Sha256.expand_label(&octets(of), b"key", &mut key_found).unwrap();
        Hash::Sha256.expand_label(&octets(of), b"iv", &mut vector_found).unwrap();
        assert_eq!((key_found.to_vec(), vector_found.to_vec()), (octets(key), octets(vector)));
    }
}

#[test]
fn a_record_that_was_changed_is_not_opened() {
    let sealed = octets(CLIENT_RECORD);
    for at in 0..sealed.len() {
        // The length in the header is not read here: the fragment says it.
        if matches!(at, 3 | 4) {
            continue;
        }
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let mut opener = Opener::of_traffic_secret(0x1301, &secret(CLIENT)).unwrap();
        assert_eq!(opener.open(&record(&changed), &mut Vec::new()), None, "octet {at}");
        assert_eq!(opener.open(&record(&sealed), &mut Vec::new()), Some(23), "octet {at}");
    }
    for end in 5..sealed.len() {
        let mut opener = Opener::of_traffic_secret(0x1301, &secret(CLIENT)).unwrap();
        assert_eq!(opener.open(&record(&sealed[..end]), &mut Vec::new()), None, "cut to {end}");
    }
}

#[test]
fn a_secret_of_another_suite_is_none() {
    assert!(Opener::of_traffic_secret(0x1302, &secret(CLIENT)).is_none());
    assert!(Opener::of_traffic_secret(0x1306, &secret(CLIENT)).is_none());
    assert!(Opener::of_traffic_secret(0xc02f, &secret(CLIENT)).is_none());
    let agreed = Agreed { version: TLS_1_2, suite: 0x000a, randoms: [[1; 32], [2; 32]], encrypt_then_mac: false };
    let master = Secret::new(&[7; 48]).unwrap();
    assert!(of_master(&agreed, &master).is_none(), "Triple DES");
    assert!(of_master(&Agreed { suite: 0xc02f, ..agreed }, &master).is_some());
    assert!(
        of_master(&Agreed { suite: 0xc02f, version: 0x0302, ..agreed }, &master).is_none(),
        "GCM came with TLS 1.2"
    );
    assert!(of_master(&Agreed { suite: 0xc013, version: 0x0300, ..agreed }, &master).is_none(), "SSL 3.0");
}
