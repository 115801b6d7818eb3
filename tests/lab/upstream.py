"""An HTTP/1.1 server that misbehaves as told, and logs what it did and when.

    upstream.py HOST:PORT [--idle-close S] [--workers N] [--backlog N] [--behave PATH=BEHAVIOUR…]

N workers serve a connection each; --backlog is how many others may wait. A path without a behaviour gets an honest 200. The behaviours are the functions in BEHAVIOURS.
"""

import argparse
import datetime
import socket
import struct
import sys
import threading
import time

STARTED_S = time.monotonic()
# How long each answer takes, so that it is never in the same segment or microsecond as something else.
WORK_S = 0.02
HEAD_LIMIT_BYTES = 65536
# Long enough for some of the content to arrive, and to stay unread.
EARLY_ANSWER_AFTER_S = 0.3


def main():
    """Listens, and gives every connection its own thread while there are workers left."""
    options = parse_options()
    host, _, port = options.listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=options.backlog)
    workers = threading.Semaphore(options.workers)
    behaviours = dict(item.rsplit("=", 1) for item in options.behave)
    log("process", f"listening on {options.listen}")
    number = 0
    while True:
        # A connection without a worker stays in the kernel's accept queue.
        workers.acquire()
        connection, peer = listener.accept()
        number += 1
        name = f"connection {number} from {peer[0]}:{peer[1]}"
        session = Session(connection, name, behaviours, options.idle_close)
        threading.Thread(target=session.run, args=(workers.release,), daemon=True).start()


def parse_options():
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("--idle-close", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--backlog", type=int, default=64)
    parser.add_argument("--behave", action="append", default=[])
    return parser.parse_args()


def log(who, what):
    """Writes one line of the upstream's own account."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S.%f")
    sys.stdout.write(f"{now} {who}: {what}\n")
    sys.stdout.flush()


class Session:
    """One accepted connection."""

    def __init__(self, connection, name, behaviours, idle_close_s):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.name = name
        self.behaviours = behaviours
        self.idle_close_s = idle_close_s
        self.pending = b""

    def run(self, on_end):
        """Serves requests until one side has had enough."""
        self.log("accepted")
        try:
            while self.serve_one():
                pass
        except OSError as error:
            self.log(f"failed: {error.strerror or error}")
        self.connection.close()
        on_end()

    def serve_one(self):
        """Reads and answers one request; false when the connection is over."""
        head = self.read_head()
        if head is None:
            return False
        method, target, version = head.split(b"\r\n", 1)[0].decode().split(" ")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        behaviour, _, argument = self.behaviours.get(target, "serve").partition(":")
        if behaviour != "early_413":
            self.read_body(int(fields.get(b"content-length", 0)))
        self.log(f"read {method} {target}; behaviour: {behaviour} {argument}".rstrip())
        time.sleep(WORK_S)
        keep_alive = version == "HTTP/1.1" and fields.get(b"connection") != b"close"
        return BEHAVIOURS[behaviour](self, argument) and keep_alive

    def read_head(self):
        """Reads up to the blank line; None when the connection ends or has been idle for too long."""
        self.connection.settimeout(self.idle_close_s)
        while b"\r\n\r\n" not in self.pending:
            try:
                octets = self.connection.recv(HEAD_LIMIT_BYTES)
            except TimeoutError:
                self.log(f"idle for {self.idle_close_s} s: closing, no request has been read")
                return None
            if not octets:
                self.log("the gateway closed")
                return None
            self.pending += octets
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        return head

    def read_body(self, length):
        """Reads and forgets a request's content."""
        while len(self.pending) < length:
            octets = self.connection.recv(HEAD_LIMIT_BYTES)
            if not octets:
                raise ConnectionError("request cut short")
            self.pending += octets
        self.pending = self.pending[length:]

    def send(self, octets, what):
        """Sends bytes and logs it."""
        self.connection.sendall(octets)
        self.log(f"sent {what}, {len(octets)} bytes")

    def log(self, what):
        """Logs under the connection's name."""
        log(self.name, what)


def answer(status, content, *fields):
    """A response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", "Server: lab-app", "Content-Type: text/plain", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, *fields]).encode() + b"\r\n\r\n" + content


def serve(session, _):
    """An honest 200."""
    session.send(answer("200 OK", b"fine\n"), "200")
    return True


def large(session, size_bytes):
    """An honest 200 of many segments."""
    session.send(answer("200 OK", b"x" * int(size_bytes)), "200 with much content")
    return True


def slow(session, seconds):
    """An honest 200, late."""
    time.sleep(float(seconds))
    session.send(answer("200 OK", b"late\n"), "200")
    return True


def reset(session, _):
    """Closes with a RST, as a process does that sets SO_LINGER to nought."""
    session.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.log("resetting the connection, nothing sent")
    return False


def close(session, _):
    """Closes with a FIN."""
    session.log("closing the connection, nothing sent")
    return False


def cut_head(session, _):
    """Half a header section, then a FIN."""
    session.send(b"HTTP/1.1 200 OK\r\nServer: lab-app\r\nContent-Ty", "half a header section")
    return False


def cut_body(session, _):
    """A tenth of the content promised, then a FIN."""
    session.send(answer("200 OK", b"x" * 1000)[:-900], "200 with 100 of 1000 bytes")
    return False


def stall_body(session, seconds):
    """A tenth of the content promised, and then nothing for a while."""
    session.send(answer("200 OK", b"x" * 1000)[:-900], "200 with 100 of 1000 bytes")
    time.sleep(float(seconds))
    session.log("closing the connection")
    return False


def nul_in_header(session, _):
    """A NUL octet in a field value."""
    session.send(answer("200 OK", b"fine\n", "X-Trace: a\0b"), "200 with a NUL in a field")
    return True


def no_colon(session, _):
    """A field line without a colon."""
    session.send(answer("200 OK", b"fine\n", "this is no field"), "200 with a line that is no field")
    return True


def bad_status_line(session, _):
    """A status that is no number."""
    session.send(answer("2xx OK", b"fine\n"), "a status line without a status code")
    return True


def bad_chunk(session, _):
    """A chunk size that is no hexadecimal number."""
    head = b"HTTP/1.1 200 OK\r\nServer: lab-app\r\nTransfer-Encoding: chunked\r\n\r\n"
    session.send(head + b"zz\r\nfine\n\r\n0\r\n\r\n", "200 with a broken chunk size")
    return True


def big_head(session, size_bytes):
    """A header section that is larger than most gateways take."""
    session.send(answer("200 OK", b"fine\n", "Set-Cookie: session=" + "x" * int(size_bytes)), "200 with a big cookie")
    return True


def say(session, status):
    """An error page of the application's own."""
    session.send(answer(status, b"the application says no\n"), status)
    return True


def ailing(session, span):
    """An honest 200, but a 500 from one second of the process's life to another."""
    begin_s, end_s = (float(second) for second in span.split("-"))
    if begin_s <= time.monotonic() - STARTED_S < end_s:
        return say(session, "500 Internal Server Error")
    return serve(session, None)


def early_413(session, _):
    """Answers on sight of the header section and closes with the content unread: the kernel resets."""
    time.sleep(EARLY_ANSWER_AFTER_S)
    session.send(answer("413 Content Too Large", b"too large\n", "Connection: close"), "413, content unread")
    return False


BEHAVIOURS = {
    function.__name__: function
    for function in (
        serve, large, slow, reset, close, cut_head, cut_body, stall_body, nul_in_header, no_colon, bad_status_line,
        bad_chunk, big_head, say, ailing, early_413,
    )
}


if __name__ == "__main__":
    main()
