"""What a story has at hand: an upstream, a gateway, a client, a firewall, and a capture that runs all along."""

import contextlib
import dataclasses
import datetime
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import certificates
import gateways

HERE = pathlib.Path(__file__).parent
CLIENT = "10.50.1.2"
GATEWAY = "10.50.1.1"
APP = "10.50.2.2:9000"
SECOND_APP = "10.50.2.3:9000"
# What a gateway in a container calls the first one.
SERVICE = "10.50.9.1:80"
ROUTER_6 = "fd50:2::2"

# What the account calls the programs that it ends.
PROGRAMS = {"python3": "upstream", "perl": "upstream"}

# No step of any story takes longer than this.
STEP_LIMIT_S = 30
START_LIMIT_S = 10
LOG_LIMIT_S = 2
# Whatever status a request gets.
ANY = "any"
# tcpdump's ring hands over a block when it is full or a second old.
RING_FLUSH_S = 1.5


class DidNotHappen(Exception):
    """The world did not behave as the story says; another attempt may show it."""


@dataclasses.dataclass
class Request:
    """One request of a client, and the status that it must get: None when it gets no answer, ANY if the logs tell."""

    method: str
    path: str
    status: int | str | None = 200
    pause_s: float = 0.2
    leave_after_s: float | None = None
    piece_gap_s: float = 0.0
    body_bytes: int = 0
    headers: dict = dataclasses.field(default_factory=dict)

    def step(self):
        """The request as client.py wants it."""
        step = dataclasses.asdict(self)
        del step["status"]
        return step


def get(path, status=200, **rest):
    """A GET."""
    return Request("GET", path, status, **rest)


def post(path, status=200, body_bytes=40, **rest):
    """A POST."""
    return Request("POST", path, status, body_bytes=body_bytes, **rest)


class Lab:
    """The world of one attempt at one story."""

    def __init__(self, world, directory, gateway_place="gateway"):
        self.world = world
        # Where gateways run; their host is the place `gateway` in any case.
        self.gateway_place = gateway_place
        self.directory = pathlib.Path(directory)
        self.processes = contextlib.ExitStack()
        self.gateways = []
        self.gateway_process = None
        self.upstreams = []
        self.resolvers = []
        self.timeline = []
        self.expected = []

    def start_upstream(self, address=APP, place="upstream", idle_close=60.0, workers=64, backlog=64, behave=None):
        """Starts the misbehaving server; `behave` maps paths to behaviours."""
        log = self.directory / f"upstream-{len(self.upstreams) + 1}.out"
        self.upstreams.append(log)
        options = [f"--idle-close={idle_close}", f"--workers={workers}", f"--backlog={backlog}"]
        options += [f"--behave={path}={behaviour}" for path, behaviour in (behave or {}).items()]
        process = self.start(place, ["python3", str(HERE / "upstream.py"), address, *options], log)
        wait_until(lambda: "listening" in log.read_text(), START_LIMIT_S, "the upstream to listen")
        self.note(f"upstream {address} started")
        return process

    def make_authority(self, name):
        """Makes an authority; gateways find its certificate as NAME.pem beside their configuration."""
        return certificates.Authority(self.directory, name)

    def start_tls_upstream(self, certificate, *options, address=APP, behave=None):
        """Starts the server that misbehaves in its TLS handshake; `options` are those of tls_upstream.py."""
        log = self.directory / f"upstream-{len(self.upstreams) + 1}.out"
        self.upstreams.append(log)
        behaviours = [f"--behave={path}={behaviour}" for path, behaviour in (behave or {}).items()]
        command = ["python3", str(HERE / "tls_upstream.py"), address, f"--certificate={certificate}", *options, *behaviours]
        process = self.start("upstream", command, log)
        wait_until(lambda: "listening" in log.read_text(), START_LIMIT_S, "the upstream to listen")
        shown = " ".join(option for option in options if str(self.directory) not in option)
        self.note(f"upstream {address} started with {certificate.stem}'s certificate {shown}".rstrip())
        return process

    def start_nginx_upstream(self, certificate=None, address=APP):
        """Starts nginx as the upstream: HTTP/1.1 inside of TLS, and no other protocol; in clear without a certificate."""
        origin = gateways.nginx_upstream(certificate, address, self.directory)
        (self.directory / "origin.conf").write_text(origin.configuration)
        log = self.directory / "origin-error.log"
        self.upstreams.append(log)
        process = self.start("upstream", origin.command, self.directory / "origin.out")
        look = self.inside("upstream", ["ss", "-Hltn", f"sport = :{origin.port}"])

        def listens():
            if process.poll() is not None:
                raise RuntimeError(f"nginx ended: {(self.directory / 'origin.err').read_text()}")
            return subprocess.run(look, capture_output=True, check=True, timeout=5).stdout

        wait_until(listens, START_LIMIT_S, "nginx to listen")
        self.note(f"upstream {address} started: {origin.version}")
        return process

    def start_php_fpm(self, address=APP):
        """Starts php-fpm, to which the application is /app.php."""
        shutil.copy(HERE / "app.php", self.directory)
        origin = gateways.php_fpm(address, self.directory)
        (self.directory / "php-fpm.conf").write_text(origin.configuration)
        logs = [self.directory / name for name in ("php-fpm-access.log", "php-fpm.log")]
        self.upstreams += logs
        process = self.start("upstream", origin.command, self.directory / "php-fpm.out")
        wait_until(
            lambda: logs[1].exists() and "ready to handle connections" in logs[1].read_text(),
            START_LIMIT_S,
            "php-fpm to listen",
        )
        self.note(f"upstream {address} started: {origin.version}")
        return process

    def start_fastcgi_upstream(self, address=APP):
        """Starts the FastCGI application that misbehaves."""
        log = self.directory / f"upstream-{len(self.upstreams) + 1}.out"
        self.upstreams.append(log)
        port = address.split(":")[1]
        process = self.start("upstream", ["perl", str(HERE / "fastcgi_app.pl"), f":{port}"], log)
        wait_until(lambda: "listening" in log.read_text(), START_LIMIT_S, "the application to listen")
        self.note(f"upstream {address} started, with FastCGI")
        return process

    def start_uwsgi(self, socket, address=APP):
        """Starts uWSGI with the application that misbehaves; `socket` is its option for what it speaks. It kills workers that
        take longer than two seconds."""
        log = self.directory / f"upstream-{len(self.upstreams) + 1}.out"
        self.upstreams.append(log.with_suffix(".err"))
        command = ["uwsgi", "--plugin", "python3", f"--{socket}", address, "--wsgi-file", str(HERE / "wsgi_app.py")]
        process = self.start("upstream", [*command, "--master", "--processes", "2", "--harakiri", "2", "--die-on-term"], log)
        wait_until(lambda: "spawned uWSGI worker 2" in log.with_suffix(".err").read_text(), START_LIMIT_S, "uWSGI to listen")
        self.note(f"upstream {address} started, uWSGI")
        return process

    def start_http2_upstream(self, *behaviours, address=APP):
        """Starts the server that speaks HTTP/2 and misbehaves; `behaviours` are those of its streams, in their order."""
        log = self.directory / f"upstream-{len(self.upstreams) + 1}.out"
        self.upstreams.append(log)
        process = self.start("upstream", ["python3", str(HERE / "http2_upstream.py"), address, *behaviours], log)
        wait_until(lambda: "listening" in log.read_text(), START_LIMIT_S, "the upstream to listen")
        self.note(f"upstream {address} started, with HTTP/2")
        return process

    def start_node(self, address):
        """Starts Node's HTTP server as it comes."""
        log = self.directory / f"upstream-{len(self.upstreams) + 1}.out"
        self.upstreams.append(log)
        process = self.start("upstream", ["node", str(HERE / "node_app.js"), address], log)
        wait_until(lambda: "listening" in log.read_text(), START_LIMIT_S, "node to listen")
        self.note(f"node {address} started")
        return process

    def start_resolver(self, command):
        """Starts a name server beside the upstream."""
        output = self.directory / f"resolver-{len(self.resolvers) + 1}.out"
        process = self.start("upstream", command, output)
        # It logs to its standard error, queries too.
        self.resolvers.append((command[0], output.with_suffix(".err")))
        look = self.inside("upstream", ["ss", "-Hlun", "sport = :53"])

        def listens():
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {output.with_suffix('.err').read_text()}")
            return subprocess.run(look, capture_output=True, check=True, timeout=5).stdout

        wait_until(listens, START_LIMIT_S, f"{command[0]} to listen")
        self.note(f"{command[0]} started")
        return process

    def ask_for_names(self, server, *domains):
        """Has the programs of the gateway's host that are started from now on ask a name server, with search domains."""
        files = pathlib.Path(f"/etc/netns/{self.world}-gateway")
        files.mkdir(parents=True)
        self.processes.callback(shutil.rmtree, files)
        (files / "resolv.conf").write_text(f"nameserver {server}\nsearch {' '.join(domains)}\n")
        self.note(f"gateway: nameserver {server}, search {' '.join(domains)}")

    def know_hosts(self, **addresses):
        """Has the programs of the gateway's host that are started from now on find hosts in /etc/hosts: NAME.lab each, which
        may have several addresses."""
        files = pathlib.Path(f"/etc/netns/{self.world}-gateway")
        files.mkdir(parents=True)
        self.processes.callback(shutil.rmtree, files)
        lines = [f"{address} {name}.lab\n" for name, several in addresses.items() for address in several.split()]
        (files / "hosts").write_text("".join(lines))

    def start_nginx(self, pool, location, **options):
        """Starts nginx."""
        self.start_gateway(gateways.nginx(pool, location, self.directory, **options))

    def start_haproxy(self, settings):
        """Starts HAProxy."""
        self.start_gateway(gateways.haproxy(settings, self.directory))

    def start_apache(self, settings):
        """Starts Apache httpd."""
        self.start_gateway(gateways.apache(settings, self.directory))

    def start_gateway(self, gateway):
        """Starts a gateway and waits until it listens."""
        self.gateways.append(gateway)
        program = gateway.command[0]
        (self.directory / f"{program}.conf").write_text(gateway.configuration)
        process = self.gateway_process = self.start(
            self.gateway_place, gateway.command, self.directory / f"{program}.out"
        )
        look = self.inside(self.gateway_place, ["ss", "-Hltn", f"sport = :{gateway.port}"])

        def listens():
            if process.poll() is not None:
                raise RuntimeError(f"{program} ended: {(self.directory / f'{program}.err').read_text()}")
            return subprocess.run(look, capture_output=True, check=True, timeout=5).stdout

        wait_until(listens, START_LIMIT_S, f"{program} to listen")
        self.note(f"{gateway.version} started on port {gateway.port}")

    @contextlib.contextmanager
    def busy_nginx_worker(self):
        """Keeps nginx's only worker from its events while the block runs, as a slow disk does."""
        master = self.gateway_process.pid
        worker = int(pathlib.Path(f"/proc/{master}/task/{master}/children").read_text())
        os.kill(worker, signal.SIGSTOP)
        self.note("gateway: worker busy")
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)
        self.note("gateway: worker free again")

    def end(self, process, how=signal.SIGTERM):
        """Ends a process that the lab started."""
        process.send_signal(how)
        process.wait(START_LIMIT_S)
        self.note(f"{PROGRAMS.get(process.args[4], process.args[4])} ended by {how.name}")

    def await_end(self, process):
        """Waits for a process that ends by itself."""
        process.wait(START_LIMIT_S)
        self.note(f"{PROGRAMS.get(process.args[4], process.args[4])} ended by itself")

    def session(self, *requests, **where):
        """Sends requests on one client connection, one after the other, and checks their statuses."""
        self.finish(self.begin_session(*requests, **where))

    def http2_session(self, *requests, together=False):
        """Sends requests on one client connection of HTTP/2, and checks their statuses."""
        address = f"{GATEWAY}:{self.gateways[-1].port}"
        steps = json.dumps([request.step() for request in requests])
        command = ["python3", str(HERE / "http2_client.py"), address, steps, *(["together"] if together else [])]
        process = subprocess.Popen(self.inside("client", command), stdout=subprocess.PIPE, text=True)
        self.end_with_the_lab(process)
        self.finish((process, requests))

    def begin_session(self, *requests, stay_s=0, place="client", address=None):
        """Begins a session that runs while the story goes on; it ends `stay_s` after the last answer at the latest."""
        address = address or f"{GATEWAY}:{self.gateways[-1].port}"
        steps = json.dumps([request.step() for request in requests])
        command = ["python3", str(HERE / "client.py"), address, str(stay_s), steps]
        command += ["tls"] if self.gateways and self.gateways[-1].tls else []
        process = subprocess.Popen(self.inside(place, command), stdout=subprocess.PIPE, text=True)
        self.end_with_the_lab(process)
        return process, requests

    def finish(self, session):
        """Waits for a session and holds the client's results against what the story says."""
        process, requests = session
        output, _ = process.communicate(timeout=STEP_LIMIT_S)
        results = [json.loads(line) for line in output.splitlines()]
        for result in results:
            status = result["status"] or "no status"
            self.timeline.append(f"{result['at']} client: {result['request']}: {status}, {result['end']}")
        statuses = [result["status"] for result in results]
        if not all(request.status in (ANY, status) for request, status in zip(requests, statuses, strict=True)):
            raise DidNotHappen("\n".join(self.timeline))

    def ask_origin(self, *requests, place="client", address=f"{GATEWAY}:8080"):
        """Sends requests to an upstream that runs where gateways else do, as a gateway does that nobody can look into."""
        self.finish(self.begin_session(*requests, place=place, address=address))

    def change_line(self, what):
        """Makes the line to the upstream narrow or broken, or wide again; each is undone as it was done."""
        pids = subprocess.run(["ip", "netns", "pids", f"{self.world}-upstream"], capture_output=True, text=True, check=True)
        lines = [pid for pid in pids.stdout.split() if b"delay_line.py" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(lines[0]), signal.SIGUSR2 if what in ("broken", "whole again") else signal.SIGUSR1)
        self.note(f"line to the upstream: {what}")

    def pause(self, seconds):
        """Lets time pass."""
        time.sleep(seconds)

    def firewall(self, *rule, place="upstream", tool="iptables"):
        """Sets a rule of a host's own firewall."""
        subprocess.run(self.inside(place, [tool, "-w", "5", *rule]), check=True, timeout=10)
        self.note(f"{place}: {tool} {' '.join(rule)}")

    def route_ipv6(self, known, unknown):
        """Makes the upstream's host the gateway's router for two nets; it has a way to one of them."""
        run = functools.partial(subprocess.run, check=True, timeout=10)
        run(self.inside("upstream", ["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]))
        run(self.inside("upstream", ["ip", "link", "add", "far", "type", "veth", "peer", "name", "far-end"]))
        for device in ("far", "far-end"):
            run(self.inside("upstream", ["ip", "link", "set", device, "up"]))
        run(self.inside("upstream", ["ip", "route", "add", known, "dev", "far"]))
        for net in (known, unknown):
            run(self.inside("gateway", ["ip", "route", "add", net, "via", ROUTER_6]))
        self.note(f"upstream: routes {known}, and knows no way to {unknown}")

    def expect(self, *lines):
        """What netwatch502 has to say of the capture; the format is in captures/README.md."""
        self.expected += lines

    def expect_masked(self, pattern, cause):
        """Expects a masked failure for each line of the gateway's logs that is like `pattern`, whose groups are the target
        and the upstream that failed."""
        self.expect_logged(pattern, "masked", cause)

    def expect_logged(self, pattern, status, cause):
        """Expects a failure for each line of the gateway's logs that is like `pattern`, with groups as above."""
        lines = [line for path in self.gateway_logs() for line in path.read_text().splitlines()]
        found = [match for match in (re.search(pattern, line) for line in lines) if match]
        if not found:
            raise DidNotHappen(f"no line like {pattern!r} in the logs of the gateway")
        self.expect(*(f"{status} GET {match[1]} {cause} upstream={match[2]}" for match in found))

    def require(self, pattern, of="gateway"):
        """Insists that a log of the gateway (or the upstream) has a line which says what the story is about."""

        def seen():
            logs = self.upstreams if of == "upstream" else self.gateway_logs()
            return any(re.search(pattern, path.read_text(errors="backslashreplace")) for path in logs)

        try:
            wait_until(seen, LOG_LIMIT_S, "")
        except TimeoutError:
            raise DidNotHappen(f"no line like {pattern!r} in the logs of the {of}") from None

    def forbid(self, pattern):
        """Insists that the gateway's logs have no such line; to be called after `require` has waited for them."""
        if any(re.search(pattern, path.read_text()) for path in self.gateway_logs()):
            raise DidNotHappen(f"a line like {pattern!r} in the logs of the gateway")

    def gateway_logs(self):
        """The gateways' log files."""
        return [self.directory / name for gateway in self.gateways for name in gateway.logs]

    def note(self, what):
        """Adds a line to the account of what was done."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M:%S.%f")
        self.timeline.append(f"{now} {what}")

    @contextlib.contextmanager
    def capture(self, pcapng, precision="micro"):
        """Captures what the gateway's host sees while the block runs, and writes it to `pcapng`."""
        raw = self.directory / "capture.pcap"
        said = self.directory / "tcpdump.err"
        command = ["tcpdump", "-i", "any", "-s", "0", "-U", "-n", "-Z", "root", "-w", str(raw)]
        command.append(f"--time-stamp-precision={precision}")
        process = self.start("gateway", command, self.directory / "tcpdump.out")
        wait_until(lambda: "listening" in said.read_text(), START_LIMIT_S, "tcpdump to listen")
        yield
        time.sleep(RING_FLUSH_S)
        process.terminate()
        process.wait(START_LIMIT_S)
        if "\n0 packets dropped by kernel" not in said.read_text():
            raise DidNotHappen(f"the capture is not whole: {said.read_text()}")
        subprocess.run(["editcap", "-F", "pcapng", raw, pcapng], check=True, timeout=STEP_LIMIT_S)

    def start(self, place, command, output):
        """Starts a program in a namespace; its output goes to a file, its complaints to the .err beside it."""
        with open(output, "wb") as out, open(output.with_suffix(".err"), "wb") as err:
            process = subprocess.Popen(self.inside(place, command), stdout=out, stderr=err)
        self.end_with_the_lab(process)
        return process

    def end_with_the_lab(self, process):
        """Ends a process with the story, if it has not ended before."""
        self.processes.callback(stop, process)

    def inside(self, place, command):
        """The command, to be run in a namespace; `ip netns exec` becomes it, so that its pid is the command's."""
        return ["ip", "netns", "exec", f"{self.world}-{place}", *command]


def stop(process):
    """Ends a process, politely first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def wait_until(true, limit_s, what):
    """Waits, within a bound, until a condition holds."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_s} s for {what}")
        time.sleep(0.02)
