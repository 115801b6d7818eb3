"""The server of upstream.py behind TLS, which may misbehave before the first request.

    tls_upstream.py HOST:PORT --certificate FILE [--handshake HOW] [--least V] [--most V] [--ciphers LIST]
                    [--authority FILE] [--host NAME] [--idle-close S] [--behave PATH=BEHAVIOUR…]

--handshake is what becomes of it: serve, hang, reset or fin on the ClientHello. --authority demands certificates of clients that
it signed, --host serves that name alone.
"""

import argparse
import socket
import ssl
import struct
import threading
import time

from upstream import Session, log

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
HANDSHAKE_LIMIT_S = 10
# How long the server takes to look at a ClientHello.
LOOK_S = 0.01


def main():
    """Listens, and gives every connection its own thread."""
    options = parse_options()
    host, port = options.listen.split(":")
    listener = socket.create_server((host, int(port)), backlog=64)
    context = make_context(options)
    behaviours = dict(item.rsplit("=", 1) for item in options.behave)
    log("process", f"listening on {options.listen}, TLS")
    number = 0
    while True:
        connection, peer = listener.accept()
        number += 1
        name = f"connection {number} from {peer[0]}:{peer[1]}"
        work = (connection, name, context, behaviours, options)
        threading.Thread(target=serve, args=work, daemon=True).start()


def parse_options():
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--handshake", choices=["serve", "hang", "reset", "fin"], default="serve")
    parser.add_argument("--least", choices=VERSIONS, default="1.2")
    parser.add_argument("--most", choices=VERSIONS, default="1.3")
    parser.add_argument("--ciphers")
    parser.add_argument("--authority")
    parser.add_argument("--host")
    parser.add_argument("--idle-close", type=float, default=60.0)
    parser.add_argument("--behave", action="append", default=[])
    return parser.parse_args()


def make_context(options):
    """How handshakes go."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[options.least]
    context.maximum_version = VERSIONS[options.most]
    context.load_cert_chain(options.certificate)
    if options.ciphers:
        context.set_ciphers(options.ciphers)
    if options.authority:
        context.load_verify_locations(options.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    if options.host:
        def choose(_, host, __):
            return None if host == options.host else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

        context.sni_callback = choose
    return context


def serve(connection, name, context, behaviours, options):
    """One connection, from its handshake on."""
    log(name, "accepted")
    if options.handshake != "serve":
        break_off(connection, name, options.handshake)
        return
    connection.settimeout(HANDSHAKE_LIMIT_S)
    try:
        connection = context.wrap_socket(connection, server_side=True)
    except OSError as error:
        log(name, f"handshake failed: {error.strerror or error}")
        connection.close()
        return
    log(name, f"handshake done: {connection.version()}, {connection.cipher()[0]}"
              f"{', resumed' if connection.session_reused else ''}")
    Session(connection, name, behaviours, options.idle_close).run(lambda: None)


def break_off(connection, name, how):
    """Reads the ClientHello, and does not answer it."""
    connection.recv(16384)
    log(name, f"read octets of a ClientHello; behaviour: {how}")
    time.sleep(LOOK_S)
    if how == "hang":
        while connection.recv(16384):
            pass
        log(name, "the gateway closed")
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


if __name__ == "__main__":
    main()
