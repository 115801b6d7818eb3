"""The name servers: how each is configured, and how it is started."""

import pathlib
import textwrap


def dnsmasq(address, *known, zones=("lab",)):
    """dnsmasq: `known` are options that say which names there are; in its zones there are no others."""
    known = [*known, *(f"--local=/{zone}/" for zone in zones)]
    plain = ["--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--no-daemon", "--log-facility=-"]
    return ["dnsmasq", f"--listen-address={address}", *plain, "--log-queries", "--user=root", "--pid-file", *known]


def unbound(address, directory, forward_to):
    """unbound, which asks another name server for everything. One of its own host it will not ask."""
    configuration = pathlib.Path(directory) / "unbound.conf"
    configuration.write_text(
        textwrap.dedent(
            f"""
            server:
                interface: {address}
                access-control: 0.0.0.0/0 allow
                do-daemonize: no
                chroot: ""
                username: ""
                pidfile: ""
                use-syslog: no
                log-replies: yes
                module-config: iterator
            remote-control:
                control-enable: no
            forward-zone:
                name: "."
                forward-addr: {forward_to}
            """
        )
    )
    return ["unbound", "-c", str(configuration)]
