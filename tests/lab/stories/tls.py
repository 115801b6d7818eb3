"""Handshakes with the upstream that fail, each beside one that does not."""

from certificates import EXPIRED
from lab import APP, SECOND_APP, get
from stories.haproxy import DEFAULTS
from stories.registry import story

TLS_1_2 = ("--most=1.2",)
TLS_1_3 = ("--least=1.3",)


@story("The upstream's certificate has expired")
def nginx_tls_expired(lab):
    """nginx verifies certificates. That of the second application expired long ago; the first one's is in order."""
    authority = lab.make_authority("lab")
    lab.start_tls_upstream(authority.issue("valid"), *TLS_1_2)
    lab.start_tls_upstream(authority.issue("expired", EXPIRED), *TLS_1_2, address=SECOND_APP)
    lab.start_nginx(*nginx())
    lab.session(get("/first/1"), get("/second/1", 502), get("/first/2"))
    lab.require(r"upstream SSL certificate verify error: \(10:certificate has expired\)")
    lab.expect(f"502 GET /second/1 tls_certificate_rejected upstream={SECOND_APP}")


@story("The upstream signed its certificate itself, and HAProxy says so by an alert")
def haproxy_tls_self_signed(lab):
    """HAProxy verifies certificates during the handshake. Neither application's is signed by somebody it trusts: the first one
    speaks TLS 1.2, the second one TLS 1.3. The third, whose certificate is in order, stands in for both."""
    authority = lab.make_authority("lab")
    own = authority.issue("own", self_signed=True)
    lab.start_tls_upstream(own, *TLS_1_2)
    lab.start_tls_upstream(own, *TLS_1_3, address=SECOND_APP)
    lab.start_tls_upstream(authority.issue("valid"), address=THIRD_APP)
    lab.start_haproxy(haproxy(f"ssl verify required ca-file lab.pem sni str(app.lab) {NO_TICKET}"))
    lab.session(get("/third/1"))
    lab.session(get("/first/1", 503))
    lab.session(get("/second/1", 503))
    lab.session(get("/third/2"))
    lab.require(r" first/app .* 503 .* SC-- .*GET /first/1 ")
    lab.require(r" second/app .* 503 .* SC-- .*GET /second/1 ")
    lab.expect(
        f"503 GET /first/1 tls_certificate_rejected upstream={APP}",
        f"503 GET /second/1 tls_certificate_rejected upstream={SECOND_APP}",
    )


@story("The upstream's certificate is for another name, and nginx finds that out after the handshake")
def nginx_tls_wrong_name(lab):
    """nginx asks for app.lab, and the certificate is for www.lab. It completes the handshake all the same, and then closes
    without a request. The first application speaks TLS 1.2, where the certificate is in clear, the second one TLS 1.3."""
    authority = lab.make_authority("lab")
    other = authority.issue("other", hosts=("www.lab", "lab"))
    lab.start_tls_upstream(other, *TLS_1_2)
    lab.start_tls_upstream(other, *TLS_1_3, address=SECOND_APP)
    lab.start_nginx(*nginx())
    lab.session(get("/first/1", 502), get("/second/1", 502))
    lab.require(r'(?s)upstream SSL certificate does not match "app.lab".*upstream SSL certificate does not match "app.lab"')
    lab.expect(
        f"502 GET /first/1 tls_certificate_rejected upstream={APP}",
        f"502 GET /second/1 tls_certificate_rejected upstream={SECOND_APP}",
    )


@story("The upstream's certificate is for another name, and Apache finds that out after the handshake")
def apache_tls_wrong_name(lab):
    """As nginx does, Apache compares the name after the handshake; it closes with a FIN and no alert."""
    authority = lab.make_authority("lab")
    lab.start_tls_upstream(authority.issue("other", hosts=("www.lab",)), *TLS_1_2)
    lab.start_tls_upstream(authority.issue("valid"), *TLS_1_3, address=SECOND_APP)
    lab.start_apache(apache(lab, ("first", "app"), ("second", "second")))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 500))
    lab.session(get("/second/2"))
    lab.require(r"AH00898: Error during SSL Handshake with remote server returned by /first/1")
    lab.expect(f"500 GET /first/1 tls_certificate_rejected upstream={APP}")


@story("HAProxy offers TLS 1.2 at most, and the upstream takes TLS 1.3 alone")
def haproxy_tls_version(lab):
    """The second application takes both versions."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, *TLS_1_3)
    lab.start_tls_upstream(certificate, address=SECOND_APP)
    lab.start_haproxy(haproxy(f"ssl verify none ssl-max-ver TLSv1.2 {NO_TICKET}"))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 503))
    lab.require(r" first/app .* 503 .* SC-- .*GET /first/1 ")
    lab.require(r"unsupported protocol", of="upstream")
    lab.expect(f"503 GET /first/1 tls_version_mismatch upstream={APP}")


@story("Apache and the upstream share no cipher suite")
def apache_tls_cipher(lab):
    """Apache offers AES, and the first application takes ChaCha20 alone, with TLS 1.2. The second one takes what it is offered."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, *TLS_1_2, "--ciphers=ECDHE-ECDSA-CHACHA20-POLY1305")
    lab.start_tls_upstream(certificate, *TLS_1_2, address=SECOND_APP)
    offers = "SSLProxyCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    lab.start_apache(apache(lab, ("first", "app"), ("second", "second"), more=f"SSLProxyProtocol TLSv1.2\n{offers}\n"))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 500))
    lab.require(r"no shared cipher", of="upstream")
    lab.expect(f"500 GET /first/1 tls_cipher_mismatch upstream={APP}")


@story("nginx asks for no host, and the upstream serves by name")
def nginx_tls_name_rejected(lab):
    """nginx sends no SNI unless it is told to (proxy_ssl_server_name). The first application refuses who asks for no host, or for
    one that it does not know; the second one serves everybody."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, "--host=app.lab")
    lab.start_tls_upstream(certificate, address=SECOND_APP)
    lab.start_nginx(*nginx(verify=False, name=False))
    lab.session(get("/second/1"), get("/first/1", 502))
    lab.require(r"SSL_do_handshake\(\) failed .*SSL alert number 112")
    lab.expect(f"502 GET /first/1 tls_name_rejected upstream={APP}")


@story("The upstream wants a certificate of nginx, which has none")
def nginx_tls_client_certificate(lab):
    """The first application speaks TLS 1.2: it refuses before the handshake is done. The second one speaks TLS 1.3, where nginx has
    sent its request by the time it is refused, by an alert that is encrypted."""
    authority = lab.make_authority("lab")
    certificate = authority.issue("valid")
    demand = f"--authority={authority.certificate}"
    lab.start_tls_upstream(certificate, *TLS_1_2, demand)
    lab.start_tls_upstream(certificate, *TLS_1_3, demand, address=SECOND_APP)
    lab.start_nginx(*nginx())
    lab.session(get("/first/1", 502), get("/second/1", 502))
    lab.require(r"SSL alert number 40")
    lab.require(r"SSL alert number 116|while reading response header from upstream")
    lab.expect(
        f"502 GET /first/1 tls_client_certificate_required upstream={APP}",
        f"502 GET /second/1 tls_client_certificate_required upstream={SECOND_APP}",
    )


@story("The upstream wants a certificate of HAProxy, which learns that from an alert in place of the answer")
def haproxy_tls_client_certificate(lab):
    """With TLS 1.3 the handshake is done for HAProxy when the upstream refuses it: it says 502, SH--. The second application wants no
    certificate."""
    authority = lab.make_authority("lab")
    certificate = authority.issue("valid")
    lab.start_tls_upstream(certificate, *TLS_1_3, f"--authority={authority.certificate}")
    lab.start_tls_upstream(certificate, *TLS_1_3, address=SECOND_APP)
    lab.start_haproxy(haproxy(f"ssl verify none {NO_TICKET}"))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 502))
    lab.require(r" first/app .* 502 .* SH-- .*GET /first/1 ")
    lab.expect(f"502 GET /first/1 tls_client_certificate_required upstream={APP}")


@story("nginx speaks TLS to a port where HTTP is spoken in clear")
def nginx_tls_to_plaintext(lab):
    """The first upstream is nginx, which answers a ClientHello as any request that it cannot read. The second one speaks TLS."""
    lab.start_nginx_upstream()
    lab.start_tls_upstream(lab.make_authority("lab").issue("valid"), address=SECOND_APP)
    lab.start_nginx(*nginx(verify=False))
    lab.session(get("/second/1"), get("/first/1", 502))
    lab.require(r"wrong version number|packet length too long|record layer failure")
    lab.expect(f"502 GET /first/1 tls_to_plaintext upstream={APP}")


@story("Apache speaks in clear to a port where TLS is spoken")
def apache_plaintext_to_tls(lab):
    """OpenSSL knows a request in clear by its first octets, and the application resets the connection without an alert. The same
    port serves what comes by TLS."""
    lab.start_tls_upstream(lab.make_authority("lab").issue("valid"))
    lab.start_apache(apache(lab, ("tls", "app")) + f"ProxyPass /plain http://{APP}/plain disablereuse=on\n")
    lab.session(get("/tls/1"))
    lab.session(get("/plain/1", 502))
    lab.session(get("/tls/2"))
    lab.require(r"AH01102: error reading status line from remote server|AH00898: Error reading from remote server")
    lab.require(r"handshake failed: .*HTTP_REQUEST", of="upstream")
    lab.expect(f"502 GET /plain/1 plaintext_to_tls upstream={APP}")


@story("The upstream does not answer the ClientHello")
def nginx_tls_handshake_timeout(lab):
    """The first application accepts connections and reads the ClientHello, and does no more; nginx waits for a second. The second one
    needs longer than that for an answer, which nginx gives it."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, "--handshake=hang")
    lab.start_tls_upstream(certificate, address=SECOND_APP, behave={"/second/slow": "slow:1.5"})
    lab.start_nginx(*nginx(more="proxy_connect_timeout 1s;"))
    lab.session(get("/second/slow"), get("/first/1", 504))
    lab.require(r"upstream timed out .* while SSL handshaking to upstream")
    lab.expect(f"504 GET /first/1 tls_handshake_timeout upstream={APP}")


@story("The upstream resets the connection on the ClientHello")
def haproxy_tls_reset(lab):
    """HAProxy tries it four times. The second application serves."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, "--handshake=reset")
    lab.start_tls_upstream(certificate, address=SECOND_APP)
    lab.start_haproxy(haproxy(f"ssl verify none {NO_TICKET}"))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 503))
    lab.require(r" first/app .* 503 .* SC-- .*GET /first/1 ")
    lab.expect(f"503 GET /first/1 tls_closed upstream={APP}")


@story("The upstream closes the connection on the ClientHello, and Apache answers with an alert")
def apache_tls_closed(lab):
    """Apache's OpenSSL sends an alert (decode_error) to who has closed: the alert is not what ended it."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, "--handshake=fin")
    lab.start_tls_upstream(certificate, address=SECOND_APP)
    lab.start_apache(apache(lab, ("first", "app"), ("second", "second")))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 500))
    lab.require(r"AH00898: Error during SSL Handshake with remote server returned by /first/1")
    lab.expect(f"500 GET /first/1 tls_closed upstream={APP}")


@story("HAProxy insists on HTTP/2, and the upstream speaks HTTP/1.1 alone")
def haproxy_tls_alpn(lab):
    """The first upstream is nginx without HTTP/2. The second one ignores what protocols it is offered."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_nginx_upstream(certificate)
    lab.start_tls_upstream(certificate, address=SECOND_APP)
    lab.start_haproxy(haproxy("ssl verify none", each={"first": "alpn h2", "second": NO_TICKET}))
    lab.session(get("/second/1"))
    lab.session(get("/first/1", 503))
    lab.require(r" first/app .* 503 .* SC-- .*GET /first/1 ")
    lab.expect(f"503 GET /first/1 tls_alpn_mismatch upstream={APP}")


@story("Nothing fails inside of TLS: sessions are resumed, and idle connections closed")
def nginx_tls_healthy(lab):
    """Two applications, one with TLS 1.2 and one with 1.3, which close idle connections after a second. nginx opens new ones, and
    resumes its sessions there."""
    certificate = lab.make_authority("lab").issue("valid")
    lab.start_tls_upstream(certificate, *TLS_1_2, "--idle-close=1")
    lab.start_tls_upstream(certificate, *TLS_1_3, "--idle-close=1", address=SECOND_APP)
    lab.start_nginx(*nginx(keepalive=True))
    lab.session(get("/first/1"), get("/first/2"), get("/second/1"), get("/second/2"))
    lab.pause(2)
    lab.session(get("/first/3"), get("/second/3"))
    lab.require(r"handshake done: .*, resumed", of="upstream")
    lab.expect("none")


THIRD_APP = "10.50.2.2:9001"
# Session tickets double the octets of a short capture.
NO_TICKET = "no-ssl-reuse"


def nginx(verify=True, name=True, keepalive=False, more=""):
    """Two upstreams by TLS, told apart by the first part of the path."""
    keep = "    keepalive 8;\n" if keepalive else ""
    pool = "".join(
        f"upstream {place} {{\n    server {server};\n{keep}}}\n" for place, server in (("first", APP), ("second", SECOND_APP))
    )
    lines = ["proxy_http_version 1.1;", 'proxy_set_header Connection "";'] if keepalive else []
    if verify:
        lines += ["proxy_ssl_verify on;", "proxy_ssl_trusted_certificate lab.pem;"]
    if name:
        lines += ["proxy_ssl_server_name on;", "proxy_ssl_name app.lab;"]
    lines.append("proxy_ssl_protocols TLSv1.2 TLSv1.3;")
    if not keepalive:
        lines.append("proxy_ssl_session_reuse off;")
    lines += [more] if more else []
    places = "".join(f"location /{place}/ {{\n    proxy_pass https://{place};\n}}\n" for place in ("first", "second"))
    return pool, "\n".join(lines) + "\n" + places


def haproxy(server, each=None):
    """Three backends by TLS, told apart by the first part of the path."""
    backends = "".join(
        f"\nbackend {place}\n    server app {address} {server} {(each or {}).get(place, '')}".rstrip() + "\n"
        for place, address in (("first", APP), ("second", SECOND_APP), ("third", THIRD_APP))
    )
    return f"""{DEFAULTS}    use_backend %[path,field(2,/)]
{backends}"""


def apache(lab, *places, more=""):
    """Upstreams by TLS, by the first part of the path. Apache asks for the name in ProxyPass, and compares it."""
    lab.know_hosts(app=APP.split(":")[0], second=SECOND_APP.split(":")[0])
    passes = "".join(
        f"ProxyPass /{place} https://{host}.lab:9000/{place} disablereuse=on\n" for place, host in places
    )
    return f"SSLProxyEngine on\nSSLProxyVerify require\nSSLProxyCACertificateFile lab.pem\n{more}{passes}"
