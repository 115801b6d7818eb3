"""Clients as they are in the field, in a wave like a day's, for so many seconds: none asks for what fails, and none leaves early.

    clients.py SECONDS

Prints what they saw as JSON. Ends with status 1 where anything was not answered well.
"""

import asyncio
import collections
import json
import math
import random
import ssl
import sys

FEWEST_A_SECOND, MOST_A_SECOND = 10, 40
# Port, whether inside of TLS, and addresses.
BOTH = ("10.50.1.1", "fd50:1::1")
GATEWAYS = ((8080, False, BOTH), (8080, False, BOTH), (8081, False, BOTH), (8082, False, BOTH[:1]), (8443, True, BOTH))
ORIGINS = ("node", "node", "app", "files")
# For how long the gateways keep idle connections, by port, and those on which nothing was asked yet. Who asks at that very
# moment may get no answer.
KEEPS_S = {8080: 75, 8443: 75, 8081: 50, 8082: 5}
KEEPS_UNUSED_S = {8080: 60, 8443: 60, 8081: 50, 8082: 60}
CLEAR_OF_S = 1
# The least and the longest time for which a browser shows a page before the next.
LOOKS_S = (10, 70)
ANSWER_LIMIT_S = 90

seen = collections.Counter()
over = asyncio.Event()
longest_s = 20.0


class Connection:
    """One connection, opened when it is first needed, and again where the gateway closed it in the meantime."""

    def __init__(self, gateway=None):
        self.port, self.tls, addresses = gateway or random.choice(GATEWAYS)
        self.address = random.choice(addresses)
        self.reader = self.writer = None
        self.answered = 0
        self.last_used = 0.0

    async def open(self):
        """Opens it, if it is not."""
        if self.writer is None:
            context = None
            if self.tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.reader, self.writer = await asyncio.open_connection(self.address, self.port, ssl=context)
            self.answered = 0
            self.last_used = asyncio.get_running_loop().time()
            seen["connections"] += 1

    async def close(self):
        """Closes it, as a client does that needs it no longer."""
        if self.writer is not None:
            self.writer.close()
            try:
                await self.writer.wait_closed()
            except (OSError, ssl.SSLError):
                pass
            self.reader = self.writer = None

    async def idle(self, seconds):
        """Keeps it open without a request, until the gateway closes it or the time is up."""
        if self.writer is None:
            await pause(seconds)
            return
        reading = asyncio.ensure_future(self.reader.read(1000))
        ended = asyncio.ensure_future(over.wait())
        await asyncio.wait({reading, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
            return
        said = reading.result()
        # What HAProxy says to a connection that never asked.
        seen["closed by the gateway" if not said else f"told without a request: {said.split(b' ')[1].decode()}"] += 1
        await self.close()

    async def ask(self, method, target, content=b"", headers=(), pace=None):
        """Sends a request and reads the whole answer, slowly if so wanted. Returns its header fields."""
        loop = asyncio.get_running_loop()
        # What came meanwhile is looked at first, as browsers do; and what the gateway may be about to close is not used.
        if self.writer is not None:
            await self.idle(0.001)
            keeps_s = (KEEPS_S if self.answered else KEEPS_UNUSED_S)[self.port]
            if keeps_s - CLEAR_OF_S < loop.time() - self.last_used:
                await self.close()
        await self.open()
        again = self.answered > 0
        lines = [f"{method} {target} HTTP/1.1", "Host: gateway", "User-Agent: hour", *headers]
        if content:
            lines.append(f"Content-Length: {len(content)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        try:
            status, fields = await asyncio.wait_for(self.read_answer(method, pace), ANSWER_LIMIT_S)
        except (asyncio.IncompleteReadError, ConnectionError) as lost:
            if again and method != "POST" and not getattr(lost, "partial", b""):
                # The gateway closed it just now; a browser tries again.
                seen["closed as the request came"] += 1
                await self.close()
                return await self.ask(method, target, content, headers, pace)
            seen[f"NOT ANSWERED: {self.port} {method} {target} {lost!r}"] += 1
            await self.close()
            return {}
        except (asyncio.TimeoutError, ValueError, ssl.SSLError) as failed:
            seen[f"NOT ANSWERED: {self.port} {method} {target} {failed!r}"] += 1
            await self.close()
            return {}
        self.answered += 1
        self.last_used = loop.time()
        seen["exchanges"] += 1
        seen[f"status {status}"] += 1
        if status >= 400:
            seen[f"NOT WELL: {status} {self.port} {method} {target}"] += 1
        if fields.get("connection", "").lower() == "close":
            await self.reader.read(1)
            await self.close()
        return fields

    async def read_answer(self, method, pace):
        """Reads an answer to its end, by the framing of RFC 9112."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if method == "HEAD" or status in (204, 304):
            return status, fields
        if fields.get("transfer-encoding") == "chunked":
            while octets := int(await self.reader.readline(), 16):
                await self.read_content(octets + 2, pace)
            await self.reader.readline()
        elif "content-length" in fields:
            await self.read_content(int(fields["content-length"]), pace)
        else:
            while await self.reader.read(60000):
                pass
        return status, fields

    async def read_content(self, octets, pace):
        """Reads so much; with a pace, so many octets a second."""
        while octets:
            piece = min(octets, 30000)
            await self.reader.readexactly(piece)
            octets -= piece
            if pace and not over.is_set():
                await asyncio.sleep(piece / pace)


async def pause(seconds):
    """Waits, at the longest until all is over."""
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except asyncio.TimeoutError:
        pass


async def browser():
    """Pages with their assets on two connections, which stay open while they are looked at."""
    gateway = random.choice(GATEWAYS)
    origin = random.choice(ORIGINS)
    lines = [Connection(gateway), Connection(gateway)]
    tags = {}

    async def load(connection, number):
        target = f"/{origin}/asset?bytes={number * 700}"
        headers = [f"If-None-Match: {tags[target]}"] if target in tags else []
        fields = await connection.ask("GET", target, headers=headers)
        if "etag" in fields:
            tags[target] = fields["etag"]

    async def load_each(connection, numbers):
        for number in numbers:
            await load(connection, number)

    for turn in range(random.randint(1, 4)):
        if turn:
            await asyncio.gather(*(line.idle(random.uniform(*LOOKS_S)) for line in lines))
        if over.is_set():
            break
        if random.random() < 0.2:
            await lines[0].ask("GET", f"/{origin}/old")
        await lines[0].ask("GET", f"/{origin}/page?bytes={random.randint(1000, 20000)}")
        assets = random.randint(2, 9)
        await asyncio.gather(*(load_each(line, range(1 + which, assets, 2)) for which, line in enumerate(lines)))
        if random.random() < 0.3:
            await lines[1].ask("POST", f"/{origin}/form", content(random.choice((40, 600, 30000))))
        if random.random() < 0.3:
            await lines[0].ask("POST", f"/{origin}/beacon", content(100))
    # Some are closed with the page, the others when either side has waited long enough.
    if random.random() < 0.6:
        await asyncio.gather(*(line.idle(random.uniform(10, 100)) for line in lines))
    for line in lines:
        await line.close()


async def program():
    """An application's client: many requests on one connection, some of them with content."""
    connection = Connection()
    origin = random.choice(ORIGINS)
    for _ in range(random.randint(4, 26)):
        kind = random.random()
        if kind < 0.5:
            await connection.ask("GET", f"/{origin}/asset?bytes={random.randint(100, 4000)}")
        elif kind < 0.6:
            await connection.ask("HEAD", f"/{origin}/asset?bytes=5000")
        else:
            await connection.ask("POST", f"/{origin}/form", content(random.randint(20, 3000)))
        # Twice as long as Node's connections live, at most.
        await connection.idle(random.choice((0.05, 0.3, 1, 3)) * random.uniform(0.3, 3.3))
        if over.is_set():
            break
    await connection.close()


async def once():
    """One request, after which the gateway closes."""
    connection = Connection()
    await connection.ask("GET", f"/{random.choice(ORIGINS)}/page", headers=["Connection: close"])


async def slow():
    """An answer that takes a few seconds."""
    connection = Connection()
    seconds = min(random.uniform(1, 6), longest_s)
    await connection.ask("GET", f"/{random.choice(ORIGINS)}/slow?seconds={seconds:.2f}")
    await connection.close()


async def stream():
    """Lines that come for a while."""
    connection = Connection()
    seconds = min(random.uniform(3, 25), longest_s)
    await connection.ask("GET", f"/{random.choice(ORIGINS)}/events?seconds={seconds:.1f}")
    await connection.close()


async def download():
    """Much, read at once or slowly."""
    connection = Connection()
    pace = random.choice((None, 100000, 200000))
    octets = random.randint(200000, 1500000)
    await connection.ask("GET", f"/{random.choice(ORIGINS)}/download?bytes={octets}", pace=pace)
    await connection.idle(random.uniform(0, 20))
    await connection.close()


async def spare():
    """A connection that a browser opened in advance, and that is seldom needed."""
    connection = Connection()
    await connection.open()
    await connection.idle(random.uniform(5, 70))
    if connection.writer is not None and random.random() < 0.5 and not over.is_set():
        await connection.ask("GET", f"/{random.choice(ORIGINS)}/page")
    await connection.close()


def content(octets):
    """So many octets of a form."""
    return b"f" * octets


# Share of the requests, and how many requests each makes on the average.
KINDS = (
    (browser, 0.5, 17), (program, 0.3, 15), (once, 0.15, 1),
    (slow, 0.02, 1), (stream, 0.01, 1), (download, 0.01, 1), (spare, 0.01, 0.5),
)


async def keep_checking(address, port):
    """A load balancer in front of the gateway, which looks every five seconds whether it accepts."""
    while not over.is_set():
        _, writer = await asyncio.open_connection(address, port)
        writer.close()
        seen["checks of the gateways"] += 1
        await pause(5)


async def main():
    """Begins sessions at random, as often as the wave wants, and waits until all have ended."""
    global longest_s
    seconds = float(sys.argv[1])
    longest_s = min(30.0, seconds / 4)
    loop = asyncio.get_running_loop()
    sessions = {asyncio.create_task(keep_checking(BOTH[0], port)) for port, tls, _ in GATEWAYS[1:] if not tls}
    began = loop.time()
    while (passed := loop.time() - began) < seconds:
        middle, swing = (MOST_A_SECOND + FEWEST_A_SECOND) / 2, (MOST_A_SECOND - FEWEST_A_SECOND) / 2
        rate = middle - swing * math.cos(2 * math.pi * passed / seconds)
        rates = [rate * share / requests for _, share, requests in KINDS]
        await asyncio.sleep(random.expovariate(sum(rates)))
        kind = random.choices([kind for kind, _, _ in KINDS], rates)[0]
        seen[f"sessions: {kind.__name__}"] += 1
        sessions.add(asyncio.create_task(kind()))
        for done in [session for session in sessions if session.done()]:
            sessions.discard(done)
            done.result()
    over.set()
    await asyncio.gather(*sessions)
    print(json.dumps(dict(sorted(seen.items())), indent=1))
    sys.exit(any(what.startswith("NOT ") for what in seen))


asyncio.run(main())
