"""The gateways: how each is configured, started, and where it logs."""

import dataclasses
import grp
import pathlib
import pwd
import re
import subprocess
import textwrap

# Where Debian and its relatives keep Apache's modules.
APACHE_MODULES = pathlib.Path("/usr/lib/apache2/modules")
APACHE_LOADED = (
    "mpm_event", "authz_core", "headers", "slotmem_shm", "lbmethod_byrequests", "proxy", "proxy_http", "proxy_balancer",
    "unique_id", "ssl", "http2", "proxy_http2", "proxy_fcgi", "proxy_uwsgi",
)
# Debian has its version in the name.
PHP_FPM = next((str(program) for program in sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))), "php-fpm")
# What gateways log of their own start and end, whatever happens in between.
HOUSEKEEPING = re.compile(r"\[(mpm_event|core):notice\]|\[notice\]|Proxy .* stopped|AH01873|AH01882")

NGINX_LOG_FORMAT = (
    '$time_iso8601 ($msec) $remote_addr:$remote_port "$request" status=$status request_time=$request_time '
    "upstream=$upstream_addr upstream_status=$upstream_status upstream_time=$upstream_response_time"
)
APACHE_LOG_FORMAT = r"%{%Y-%m-%dT%H:%M:%S}t.%{usec_frac}t %a:%{remote}p \"%r\" status=%>s time_us=%D keepalive=%X"


@dataclasses.dataclass
class Gateway:
    """A gateway, ready to be started."""

    version: str
    # The part of the configuration that matters to the story.
    settings: str
    # The whole of it, for a directory to put logs and temporary files in.
    configuration: str
    command: list
    port: int
    # File name to what it holds.
    logs: dict
    # Whether clients have to speak TLS.
    tls: bool = False

    def log_text(self, path):
        """A log's lines, without those that only tell of the gateway's own start and end."""
        lines = path.read_text().splitlines()
        return "\n".join(line for line in lines if not HOUSEKEEPING.search(line))


def nginx(pool, location, directory, port=8080, tls=False, protocol="", dual=False):
    """nginx: `pool` is the `upstream` block, `location` what stands inside the `server`; `dual` if it listens on IPv6 too."""
    group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    temporary = "".join(
        f"    {module}_temp_path {directory}/nginx-{module};\n"
        for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    listen = f"listen {port} {protocol}".strip() + ";"
    if dual:
        listen += f"\nlisten [::]:{port};"
    if tls:
        certificate, key = self_signed(directory)
        listen = f"listen {port} ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};"
    configuration = (
        f"user nobody {group};\ndaemon off;\nworker_processes 1;\npid {directory}/nginx.pid;\n"
        f"error_log {directory}/nginx-error.log info;\nevents {{}}\n"
        f"http {{\n{temporary}    log_format lab '{NGINX_LOG_FORMAT}';\n"
        f"    access_log {directory}/nginx-access.log lab;\n"
        f"{indent(pool, 1)}\n"
        f"    server {{\n{indent(listen, 2)}\n{indent(location, 2)}\n    }}\n}}\n"
    )
    return Gateway(
        version=said_by("nginx", "-v").removeprefix("nginx version: "),
        settings=f"{pool.strip()}\nserver {{\n{indent(listen.replace(f'{directory}/', ''), 1)}\n{indent(location, 1)}\n}}",
        configuration=configuration,
        command=["nginx", "-e", f"{directory}/nginx-error.log", "-c", f"{directory}/nginx.conf"],
        port=port,
        logs={"nginx-access.log": "nginx, access log", "nginx-error.log": "nginx, error log"},
        tls=tls,
    )


def nginx_upstream(certificate, address, directory):
    """nginx as an upstream, with TLS where it has a certificate."""
    group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    tls = f" ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate}" if certificate else ""
    settings = f"server {{ listen {address}{tls}; }}"
    return Gateway(
        version=said_by("nginx", "-v").removeprefix("nginx version: "),
        settings=settings,
        configuration=(
            f"user nobody {group};\ndaemon off;\nworker_processes 1;\npid {directory}/origin.pid;\n"
            f"error_log {directory}/origin-error.log info;\nevents {{}}\n"
            f"http {{ access_log off; client_body_temp_path {directory}/origin-body;\n{settings}\n}}\n"
        ),
        command=["nginx", "-e", f"{directory}/origin-error.log", "-c", f"{directory}/origin.conf"],
        port=int(address.split(":")[1]),
        logs={},
    )


def php_fpm(address, directory):
    """php-fpm as an upstream of one worker, which says its errors to who asks, and whose scripts are in the directory."""
    return Gateway(
        version=said_by(PHP_FPM, "-v").splitlines()[0].partition(" (")[0],
        settings="",
        configuration=(
            f"[global]\ndaemonize = no\nerror_log = {directory}/php-fpm.log\n"
            f"[app]\nuser = root\nchroot = {directory}\nlisten = {address}\npm = static\npm.max_children = 1\n"
            f"access.log = {directory}/php-fpm-access.log\n"
            'access.format = "%{%H:%M:%S}t worker %p: %m %r: status=%s"\n'
            "php_admin_flag[log_errors] = on\n"
        ),
        command=[PHP_FPM, "--allow-to-run-as-root", "--fpm-config", f"{directory}/php-fpm.conf"],
        port=int(address.split(":")[1]),
        logs={},
    )


def haproxy(settings, directory, port=8080):
    """HAProxy: `settings` are the sections after `defaults`."""
    common = "global\n    log stdout format raw local0\n    nbthread 1\n\n"
    settings = settings.strip()
    return Gateway(
        version=said_by("haproxy", "-v").partition(" - ")[0],
        settings=settings,
        configuration=f"{common}{settings}\n",
        command=["haproxy", "-db", "-C", str(directory), "-f", f"{directory}/haproxy.conf"],
        port=port,
        logs={"haproxy.out": "HAProxy, log"},
    )


def apache(settings, directory, port=8080):
    """Apache httpd: `settings` are the directives of mod_proxy."""
    modules = "".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in APACHE_LOADED
    )
    settings = settings.strip()
    configuration = (
        f"{modules}ServerRoot {directory}\nDefaultRuntimeDir {directory}\nPidFile {directory}/apache.pid\n"
        f"User nobody\nGroup #{pwd.getpwnam('nobody').pw_gid}\nServerName gateway\nListen {port}\n"
        f"LogLevel warn\nErrorLog {directory}/apache-error.log\n"
        f'CustomLog {directory}/apache-access.log "{APACHE_LOG_FORMAT}"\n{settings}\n'
    )
    return Gateway(
        version=said_by("apache2", "-v").splitlines()[0].removeprefix("Server version: "),
        settings=settings,
        configuration=configuration,
        command=["apache2", "-DFOREGROUND", "-f", f"{directory}/apache2.conf"],
        port=port,
        logs={"apache-access.log": "Apache, access log", "apache-error.log": "Apache, error log"},
    )


def self_signed(directory):
    """Makes a certificate, and returns the files of it and of its key."""
    certificate, key = f"{directory}/gateway.crt", f"{directory}/gateway.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=gateway.lab", "-out", certificate, "-keyout", key]
    subprocess.run(command, capture_output=True, check=True, timeout=10)
    return certificate, key


def said_by(*command):
    """What a program prints about itself."""
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return (said.stdout + said.stderr).strip()


def indent(text, levels):
    """The text, four spaces to the right for each level."""
    return textwrap.indent(text.strip(), "    " * levels)
