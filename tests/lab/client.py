"""A client with one connection: sends the requests it is told to, in turn, and says how each ended.

    client.py HOST:PORT STAY_S REQUESTS [tls]

STAY_S is how long to keep the connection open after the last answer, unless the gateway closes it before.
REQUESTS is a JSON list of objects: `method`, `path`, `headers`, `body_bytes`, and

- `piece_gap_s`: how long to wait after each of the PIECES in which the content is sent, or nought for one piece;
- `pause_s`: how long to wait before it is sent, counted from the end of the one before;
- `leave_after_s`: when to close the connection without waiting for the answer any longer.

With `tls` the connection is inside TLS, and the certificate is taken as it is.

Prints one JSON object a request: `at`, `request`, `status` (null when none came) and `end` (how it ended).
"""

import datetime
import json
import socket
import ssl
import sys
import time

ANSWER_LIMIT_S = 20
PIECES = 20


def main():
    """Runs the whole list on one connection, until the gateway closes it."""
    address, stay_s, requests, *tls = sys.argv[1:]
    host, _, port = address.rpartition(":")
    first = json.loads(requests)[0]
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=first["leave_after_s"] or ANSWER_LIMIT_S)
    except OSError as error:
        tell(first, None, f"no connection: {error.strerror or error}")
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        connection = trusting().wrap_socket(connection, server_hostname="gateway.lab")
    for request in json.loads(requests):
        time.sleep(request["pause_s"])
        at = now()
        status, end = exchange(connection, request, host)
        tell(request, status, end, at)
        if end != "complete":
            break
    stay(connection, float(stay_s))
    connection.close()


def now():
    """The time of day."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S.%f")


def tell(request, status, end, at=None):
    """Says how a request ended."""
    line = f"{request['method']} {request['path']}"
    print(json.dumps({"at": at or now(), "request": line, "status": status, "end": end}), flush=True)


def trusting():
    """TLS with whomever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def exchange(connection, request, host):
    """Sends one request and reads its answer; returns the status, and how it ended."""
    connection.settimeout(request["leave_after_s"] or ANSWER_LIMIT_S)
    try:
        head, body = serialise(request, host)
        if request["piece_gap_s"]:
            connection.sendall(head)
            trickle(connection, body, request["piece_gap_s"])
        else:
            connection.sendall(head + body)
        return read_answer(connection)
    except TimeoutError:
        return None, "the client left"
    except ConnectionError as error:
        return None, f"connection lost: {error.strerror}"


def stay(connection, seconds):
    """Waits for the gateway to close an idle connection."""
    if seconds > 0:
        connection.settimeout(seconds)
        try:
            connection.recv(1)
        except OSError:
            pass


def serialise(request, host):
    """The request's header section and its content."""
    lines = [f"{request['method']} {request['path']} HTTP/1.1", f"Host: {host}", "User-Agent: lab-client"]
    lines += [f"{name}: {value}" for name, value in request["headers"].items()]
    body = b"x" * request["body_bytes"]
    if request["method"] == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n", body


def trickle(connection, body, gap_s):
    """Sends the content bit by bit, as over a slow line."""
    size = -(-len(body) // PIECES)
    for start in range(0, len(body), size):
        connection.sendall(body[start : start + size])
        time.sleep(gap_s)


def read_answer(connection):
    """Reads one response; returns its status, and whether it was complete."""
    answer = connection.makefile("rb")
    status_line = answer.readline()
    if not status_line:
        return None, "closed without an answer"
    status = int(status_line.split()[1])
    headers = {}
    for line in iter(answer.readline, b"\r\n"):
        if not line:
            return status, "header cut short"
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, "complete" if read_body(answer, headers) else "body cut short"


def read_body(answer, headers):
    """Reads a response's content; false when it ended too early."""
    if headers.get("transfer-encoding") == "chunked":
        return read_chunks(answer)
    length = int(headers.get("content-length", 0))
    return len(answer.read(length)) == length


def read_chunks(answer):
    """Reads chunked content; false when the last chunk is missing."""
    while size_line := answer.readline():
        size = int(size_line, 16)
        if len(answer.read(size + 2)) != size + 2:
            return False
        if size == 0:
            return True
    return False


if __name__ == "__main__":
    main()
