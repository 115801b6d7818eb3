"""Real gateways under load, for benchmarks: nginx in front of nginx in a network namespace of its own, and wrk."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

SPACE = f"nw502-bench-{os.getpid()}"
START_LIMIT_S = 10

NGINX = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; client_body_temp_path {directory}; proxy_temp_path {directory};
    fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
    keepalive_requests 100000; sendfile on; {more}
}}
"""
GATEWAY = """
    upstream app {{ server 127.0.0.1:9000; keepalive 64; keepalive_requests 100000; }}
    server {{
        listen 127.0.0.1:8080;
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""
APP = "server {{ listen 127.0.0.1:9000; root {directory}/www; }}"


@contextlib.contextmanager
def loopback():
    """A namespace with nothing but its loopback, and a folder for its programs. It goes with all that was started in it."""
    with contextlib.ExitStack() as world:
        directory = pathlib.Path(world.enter_context(tempfile.TemporaryDirectory(prefix=SPACE)))
        # Who watches gives up its rights, and nginx has none to begin with.
        directory.chmod(0o755)
        run(["ip", "netns", "add", SPACE])
        world.callback(run, ["ip", "netns", "del", SPACE])
        inside("ip", "link", "set", "lo", "up")
        yield world, directory


def start_nginx(world, directory, more):
    """Starts an nginx, which ends with the world."""
    directory.mkdir(exist_ok=True)
    (directory / "www").mkdir()
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, more=more.format(directory=directory)))
    command = enter("nginx", "-c", configuration, "-e", directory / "error.log")
    nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    world.callback(lambda: (nginx.terminate(), nginx.wait(10)))
    wait_until((directory / "nginx.pid").exists, nginx, directory / "error.log")


def pages(www, sizes):
    """Makes the pages that are asked for."""
    for index, size in enumerate(sizes):
        (www / f"{index}.html").write_bytes(b"x" * size)
    for path in www.iterdir():
        path.chmod(0o644)


def lua(count, has_ids=False, pause_ms=0):
    """A script for wrk: one page after the other, each request with an id of its own or not, with a pause before it."""
    headers = ', {["X-Request-Id"] = string.format("%016x", n * 40503)}' if has_ids else ""
    asked = f'wrk.format("GET", "/" .. (n % {count}) .. ".html"{headers})'
    paused = f"function delay()\n return {pause_ms}\nend\n" if pause_ms else ""
    return f"local n = 0\nfunction request()\n n = n + 1\n return {asked}\nend\n{paused}"


def wait_until(true, process, log):
    """Waits, within a bound, until a process is ready."""
    deadline = time.monotonic() + START_LIMIT_S
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{process.args}: {log.read_text()}")
        time.sleep(0.02)


def enter(*command):
    """The command, to be run in the namespace."""
    return ["ip", "netns", "exec", SPACE, *map(str, command)]


def inside(*command):
    """Runs a command in the namespace."""
    run(enter(*command))


def run(command):
    """Runs a command that must succeed."""
    subprocess.run(command, check=True, timeout=30, stderr=subprocess.DEVNULL)


def output(command, limit_s):
    """What a command prints."""
    return subprocess.run(command, check=True, timeout=limit_s, capture_output=True, text=True).stdout


def load(script, seconds, *flags, url="http://127.0.0.1:8080/"):
    """wrk as fast as it goes. Requests that were answered in a second."""
    wrk = enter("wrk", "-t1", "-c40", f"-d{seconds}", *flags, "-s", script, url)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output(wrk, seconds + 30)).group(1))
