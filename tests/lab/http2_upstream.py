"""An HTTP/2 server in clear that misbehaves as told, and logs what it did and when.

    http2_upstream.py HOST:PORT BEHAVIOUR…

It reads no header blocks: the behaviours are those of the streams, in the order in which they come, on whatever connection.
Behind the last of them all are served. They are the functions in BEHAVIOURS.
"""

import datetime
import socket
import struct
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4
# How long each answer takes, so that it is never in the same segment or microsecond as something else.
WORK_S = 0.02
# `:status: 200`, from HPACK's static table.
FINE = b"\x88"


def main():
    """Listens, and gives every connection its own thread."""
    address, *behaviours = sys.argv[1:]
    host, port = address.split(":")
    listener = socket.create_server((host, int(port)), backlog=64)
    log("process", f"listening on {address}")
    left = iter(behaviours)
    number = 0
    while True:
        connection, peer = listener.accept()
        number += 1
        session = Session(connection, f"connection {number} from {peer[0]}:{peer[1]}", left)
        threading.Thread(target=session.run, daemon=True).start()


def log(who, what):
    """Writes one line of the upstream's own account."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S.%f")
    sys.stdout.write(f"{now} {who}: {what}\n")
    sys.stdout.flush()


class Session:
    """One accepted connection."""

    def __init__(self, connection, name, behaviours):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.octets = connection.makefile("rb")
        self.name = name
        self.behaviours = behaviours
        self.last = 0

    def run(self):
        """Reads frames until one side has had enough."""
        log(self.name, "accepted")
        try:
            if self.octets.read(len(PREFACE)) == PREFACE:
                self.frame(SETTINGS, 0, 0)
                while self.take_frame():
                    pass
        except OSError as error:
            log(self.name, f"failed: {error.strerror or error}")
        # A file that was made of a socket keeps it open.
        self.octets.close()
        self.connection.close()

    def take_frame(self):
        """Takes a frame; false when the connection is over."""
        header = self.octets.read(9)
        if len(header) < 9:
            log(self.name, "the gateway closed")
            return False
        length, kind, flags, stream = int.from_bytes(header[:3], "big"), header[3], header[4], int.from_bytes(header[5:], "big")
        payload = self.octets.read(length)
        if kind == SETTINGS and not flags & ACK:
            self.frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, payload)
        elif kind == RST_STREAM:
            log(self.name, f"stream {stream}: the gateway gave it up, code {int.from_bytes(payload, 'big')}")
        elif kind in (HEADERS, DATA) and flags & END_STREAM:
            behaviour, _, argument = next(self.behaviours, "serve").partition(":")
            log(self.name, f"stream {stream}: a request; behaviour: {behaviour} {argument}".rstrip())
            time.sleep(WORK_S)
            return BEHAVIOURS[behaviour](self, stream, argument)
        return True

    def frame(self, kind, flags, stream, payload=b""):
        """Sends a frame."""
        self.connection.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)


def serve(session, stream, _):
    """An honest 200."""
    session.last = stream
    session.frame(HEADERS, END_HEADERS, stream, FINE)
    session.frame(DATA, END_STREAM, stream, b"fine\n")
    log(session.name, f"stream {stream}: sent 200")
    return True


def slow(session, stream, seconds):
    """An honest 200, late."""
    time.sleep(float(seconds))
    return serve(session, stream, "")


def reset(session, stream, code):
    """Gives up the stream."""
    session.frame(RST_STREAM, 0, stream, struct.pack(">I", int(code)))
    log(session.name, f"stream {stream}: sent RST_STREAM, code {code}")
    return True


def cut(session, stream, code):
    """Gives up the stream in the middle of its content."""
    session.frame(HEADERS, END_HEADERS, stream, FINE)
    session.frame(DATA, 0, stream, b"fine")
    time.sleep(WORK_S)
    return reset(session, stream, code)


def goaway(session, stream, code):
    """Takes no more streams, and not this one."""
    session.frame(GOAWAY, 0, 0, struct.pack(">II", session.last, int(code)))
    log(session.name, f"stream {stream}: sent GOAWAY, last stream {session.last}, code {code}")
    time.sleep(WORK_S)
    return False


def close(session, stream, _):
    """Closes the connection without a word."""
    log(session.name, f"stream {stream}: closing without an answer")
    return False


BEHAVIOURS = {function.__name__: function for function in (serve, slow, reset, cut, goaway, close)}


if __name__ == "__main__":
    main()
