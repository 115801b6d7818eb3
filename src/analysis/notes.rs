//! What the reader must know of what could not be seen.

/// How far the user's secrets reached.
pub(super) fn decryption_note(forgotten: Option<u64>, decrypted: u64, opaque: u64) -> Option<String> {
    let forgotten = forgotten?;
    let mut note =
        format!("{decrypted} of {} TLS connections were decrypted with the secrets given", decrypted + opaque);
    if forgotten > 0 {
        note.push_str(&format!("; those of {forgotten} connections were forgotten for want of memory"));
    }
    Some(note)
}

/// What cannot be told where the snaplen cut header sections and chunks.
pub(super) fn snaplen_note([requests, responses]: [u64; 2], unmeasured: u64) -> Option<String> {
    (requests + responses + unmeasured > 0).then(|| {
        format!(
            "the snaplen cut the header sections of {requests} requests and {responses} responses: what stood behind the cut is \
             not known. Of {unmeasured} exchanges the length of the response is unknown: one that broke off looks whole. \
             Capture whole packets (`-s 0`) to know"
        )
    })
}

/// What cannot be told of HTTP/2 behind missing octets.
pub(super) fn http2_note(lost: u64) -> Option<String> {
    let connections = if lost == 1 { "1 connection" } else { &format!("{lost} connections") };
    (lost > 0).then(|| {
        format!(
            "octets of {connections} of HTTP/2 are missing or cannot be read: what came behind them is not known, since header \
             blocks refer to those before them"
        )
    })
}

/// What could not be compared for want of memory.
pub(super) fn differ_note(beyond: u64) -> Option<String> {
    (beyond > 0).then(|| format!("upstreams or paths of requests were one too many to be compared {beyond} ×"))
}
