"""A client with one connection of HTTP/2 in clear, with prior knowledge. Says how each request ended, as client.py does.

    http2_client.py HOST:PORT REQUESTS [together]

REQUESTS is a JSON list as client.py has it, without `headers` and `piece_gap_s`; `leave_after_s` gives up the stream, not the
connection. One follows the other, or all are sent together. Of header blocks no more is read than the status, which
stands first.
"""

import datetime
import json
import socket
import struct
import sys
import time

ANSWER_LIMIT_S = 20
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4
CANCEL = 8
# RFC 7541: the statuses of the static table, and the Huffman codes of digits.
INDEXED = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
DIGITS = {f"{n:05b}" if n < 3 else f"{n + 22:06b}": str(n) for n in range(10)}


def main():
    """Runs the whole list on one connection."""
    address, requests, *together = sys.argv[1:]
    requests = json.loads(requests)
    host, port = address.split(":")
    client = Client(socket.create_connection((host, int(port)), timeout=ANSWER_LIMIT_S), address)
    groups = [requests] if together else [[request] for request in requests]
    for group in groups:
        time.sleep(group[0]["pause_s"])
        at = datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S.%f")
        streams = [client.ask(request) for request in group]
        client.read(streams, group[0]["leave_after_s"])
        for request, stream in zip(group, streams):
            status, end = client.results[stream]
            line = f"{request['method']} {request['path']}"
            print(json.dumps({"at": at, "request": line, "status": status, "end": end}), flush=True)
    client.frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0))
    client.connection.close()


class Client:
    """The connection."""

    def __init__(self, connection, authority):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.pending = b""
        self.authority = authority.encode()
        self.next = 1
        # Stream to status, and how it ended.
        self.results = {}
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.frame(SETTINGS, 0, 0)

    def ask(self, request):
        """Sends a request; returns its stream."""
        stream, self.next = self.next, self.next + 2
        fields = [(b":method", request["method"].encode()), (b":scheme", b"http"), (b":path", request["path"].encode())]
        fields += [(b":authority", self.authority), (b"user-agent", b"lab-client")]
        content = b"x" * request["body_bytes"]
        if request["method"] == "POST":
            fields.append((b"content-length", str(len(content)).encode()))
        # Literals without indexing, and without Huffman's code.
        block = b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields)
        self.results[stream] = (None, "no answer")
        self.frame(HEADERS, END_HEADERS | (0 if content else END_STREAM), stream, block)
        if content:
            self.frame(DATA, END_STREAM, stream, content)
        return stream

    def read(self, streams, leave_after_s):
        """Reads until all streams have ended, or the connection has."""
        self.connection.settimeout(leave_after_s or ANSWER_LIMIT_S)
        waiting = set(streams)
        try:
            while waiting:
                header = self.octets(9)
                if len(header) < 9:
                    for stream in waiting:
                        self.results[stream] = (self.results[stream][0], "connection closed")
                    return
                waiting -= self.take(header)
        except TimeoutError:
            for stream in waiting:
                self.frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
                self.results[stream] = (None, "the client left")
        except ConnectionError as error:
            for stream in waiting:
                self.results[stream] = (None, f"connection lost: {error.strerror}")

    def take(self, header):
        """Takes a frame; returns the streams that it ends."""
        length, kind, flags, stream = int.from_bytes(header[:3], "big"), header[3], header[4], int.from_bytes(header[5:], "big")
        payload = self.octets(length)
        if kind == SETTINGS and not flags & ACK:
            self.frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, payload)
        elif kind == HEADERS and self.results[stream][0] is None:
            self.results[stream] = (status(payload), "cut short")
        elif kind == RST_STREAM:
            self.results[stream] = (self.results[stream][0], f"RST_STREAM, code {int.from_bytes(payload, 'big')}")
            return {stream}
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.results[stream] = (self.results[stream][0], "complete")
            return {stream}
        return set()

    def octets(self, count):
        """Reads so many octets; fewer where the connection ends."""
        while len(self.pending) < count and (more := self.connection.recv(65536)):
            self.pending += more
        octets, self.pending = self.pending[:count], self.pending[count:]
        return octets

    def frame(self, kind, flags, stream, payload=b""):
        """Sends a frame."""
        self.connection.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload)


def status(block):
    """The status that a header block begins with."""
    while block[0] & 0xE0 == 0x20:
        block = block[1:]
    if block[0] & 0x80:
        return INDEXED[block[0] & 0x7F]
    length, text = block[1] & 0x7F, block[2:]
    if not block[1] & 0x80:
        return int(text[:length])
    bits, digits, code = "".join(f"{octet:08b}" for octet in text[:length]), "", ""
    for bit in bits:
        code += bit
        if code in DIGITS:
            digits, code = digits + DIGITS[code], ""
    return int(digits)


if __name__ == "__main__":
    main()
