//! The TLS handshake with the upstream.

use crate::diagnose::explain::Explanation;

pub(super) const VERSION_MISMATCH: Explanation = Explanation {
    meaning: "Gateway and upstream could not agree on a version of TLS: one of them is too old, or pinned.",
    proof: "The upstream answers the ClientHello with alert 70 (protocol_version) or 86 (inappropriate_fallback), \
        or chooses a version that was not offered.",
    look_alikes: "Alert 40 means that the version was fine but nothing else was: tls_cipher_mismatch.",
    todo: "`openssl s_client -connect HOST:PORT -tls1_2`, then `-tls1_3`, shows what the upstream takes. Enable TLS \
        1.2 and 1.3 on both sides.",
};

pub(super) const CIPHER_MISMATCH: Explanation = Explanation {
    meaning: "Gateway and upstream share a version of TLS, but no cipher suite, curve or signature algorithm.",
    proof: "Alert 40 (handshake_failure) or 71 (insufficient_security) straight after the ClientHello, without a \
        ServerHello.",
    look_alikes: "A missing client certificate gives alert 40 as well, but after ServerHello and \
        CertificateRequest. Some servers also use it for a name that they do not know.",
    todo: "Compare the cipher lists: `openssl s_client -connect HOST:PORT -cipher …`, `nmap --script \
        ssl-enum-ciphers`. An ECDSA-only certificate needs ECDSA suites on the gateway.",
};

pub(super) const NAME_REJECTED: Explanation = Explanation {
    meaning: "The upstream serves several names and rejected the one that the gateway asked for, or the lack of one.",
    proof: "Alert 112 (unrecognized_name) from the upstream; the report gives the SNI of the ClientHello, or says \
        that none was sent.",
    look_alikes: "Other servers answer with a default certificate instead; the gateway then rejects that: \
        tls_certificate_rejected.",
    todo: "Make the gateway send the name that the upstream serves. `openssl s_client -connect HOST:PORT \
        -servername NAME` shows which names work.",
};

pub(super) const ALPN_MISMATCH: Explanation = Explanation {
    meaning: "Gateway and upstream speak no common protocol inside TLS: one insists on HTTP/2 and the other on \
        HTTP/1.1, for instance.",
    proof: "Alert 120 (no_application_protocol) from the upstream.",
    look_alikes: "A server that ignores ALPN goes on and fails later, with a malformed response or an HTTP/2 error.",
    todo: "`openssl s_client -connect HOST:PORT -alpn h2,http/1.1` shows what the upstream takes; configure the \
        gateway's upstream protocol to match.",
};

pub(super) const CERTIFICATE_REJECTED: Explanation = Explanation {
    meaning: "The upstream presented its certificate, and the gateway did not accept it: expired, for another name, \
        or signed by somebody it does not trust.",
    proof: "An alert from 42 to 46, or 48, from the gateway; or a complete handshake after which the gateway closes \
        without sending a request, as nginx does. Up to TLS 1.2 the certificate can be read, and the detail comes \
        from it.",
    look_alikes: "A gateway may close after the handshake because its client has gone: then the client's FIN or RST \
        comes first. An alert from the upstream is about the gateway's certificate.",
    todo: "`openssl s_client -connect HOST:PORT -servername NAME -showcerts` and read the dates, the names and the \
        chain. Common reasons: renewed without the intermediate, private CA not in the gateway's store, connecting \
        by address, a wrong clock.",
};

pub(super) const CLIENT_CERTIFICATE_REQUIRED: Explanation = Explanation {
    meaning: "The upstream wants the gateway to identify itself with a certificate, and got none, or one that it \
        does not accept.",
    proof: "A CertificateRequest and then alert 40, 42 or 116 from the upstream; in TLS 1.3 an empty certificate in \
        the gateway's flight, followed by a record of the size of an alert.",
    look_alikes: "Alert 40 without a CertificateRequest is tls_cipher_mismatch. In TLS 1.3 the alert comes after \
        the request was sent, so that it looks like a close without response.",
    todo: "Configure a client certificate and key on the gateway, or make it optional at the upstream for this \
        path. `openssl s_client -connect HOST:PORT -cert … -key …` tries one.",
};

pub(super) const TLS_TO_PLAINTEXT: Explanation = Explanation {
    meaning: "The gateway started TLS on a port where the upstream speaks something else, usually plain HTTP.",
    proof: "The ClientHello is answered by bytes that are not a TLS record, an HTTP 400 for instance, or is \
        acknowledged and ignored by a port that speaks plainly to others.",
    look_alikes: "A TLS server that hangs also ignores the ClientHello: tls_handshake_timeout, unless plain \
        exchanges with the same port are in the capture.",
    todo: "Change the scheme or the port in the gateway's upstream definition. `curl -v http://HOST:PORT/` and \
        `openssl s_client -connect HOST:PORT` show what the port speaks.",
};

pub(super) const PLAINTEXT_TO_TLS: Explanation = Explanation {
    meaning: "The gateway sent a plain HTTP request to a port where the upstream expects TLS.",
    proof: "The request is answered by a TLS alert, or by a 400 page that says so, or by an immediate close on a \
        port where TLS is seen.",
    look_alikes: "An application that closes without an answer (closed_without_response) does the same on a port \
        where nothing else shows that TLS is expected.",
    todo: "Change the scheme or the port in the gateway's upstream definition: https instead of http, or the plain \
        port.",
};

pub(super) const CLOSED: Explanation = Explanation {
    meaning: "The upstream, or something before it, closed the connection in the middle of the TLS handshake \
        without saying why.",
    proof: "FIN or RST from the upstream after the ClientHello and before the handshake is complete, with no alert.",
    look_alikes: "A device that filters by name resets with its own TTL: compare middlebox_reset. A plain-text \
        service that dislikes binary input closes as well: try tls_to_plaintext.",
    todo: "Look at the upstream's log at that second. Compare `openssl s_client -connect HOST:PORT` with and \
        without `-servername NAME`: if the name decides, look for a filter.",
};

pub(super) const ALERT: Explanation = Explanation {
    meaning: "The handshake ended with a fatal alert that none of the other TLS causes covers.",
    proof: "The alert record itself, in clear; the detail has its name, and the evidence who sent it.",
    look_alikes: "An alert of 24 octets after the handshake cannot be read in TLS 1.3: it may as well be an \
        ordinary close_notify.",
    todo: "The side that sent the alert knows why: look at its log, at that second. Then try `openssl s_client \
        -connect HOST:PORT -servername NAME -msg` from the gateway.",
};

pub(super) const HANDSHAKE_TIMEOUT: Explanation = Explanation {
    meaning: "The upstream's kernel took the ClientHello, but its program never answered it, until the gateway gave \
        up.",
    proof: "The ClientHello is acknowledged, no ServerHello and no alert follow, and the gateway closes first.",
    look_alikes: "If the ClientHello is not acknowledged, it was lost: a large one (post-quantum keys take two \
        segments) is dropped by some devices, or by a path with a smaller MTU.",
    todo: "Is the upstream overloaded, its event loop blocked, or waiting for a plain request (tls_to_plaintext)? \
        `ss -tn` on it: data waiting in Recv-Q means that the program does not read.",
};
