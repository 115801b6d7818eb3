"""Certificates of the lab, made by openssl when a story runs: an authority that gateways trust, and one that nobody does."""

import pathlib
import subprocess

# `openssl ca` alone takes dates in the past.
CONFIGURATION = """
[ca]
default_ca = lab
[lab]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
x509_extensions = host
[any]
commonName = supplied
[host]
subjectAltName = ${{ENV::NAMES}}
basicConstraints = CA:false
[authority]
basicConstraints = critical,CA:true
[request]
distinguished_name = none
[none]
"""
VALID = ("20250101000000Z", "20350101000000Z")
EXPIRED = ("20240101000000Z", "20250301000000Z")


class Authority:
    """Who signs certificates: its own is `NAME.pem` in the directory."""

    def __init__(self, directory, name):
        self.directory = pathlib.Path(directory) / f"{name}-authority"
        self.directory.mkdir()
        (self.directory / "index.txt").touch()
        (self.directory / "openssl.conf").write_text(CONFIGURATION.format(directory=self.directory))
        self.key = self.directory / "key.pem"
        self.certificate = pathlib.Path(directory) / f"{name}.pem"
        make_key(self.key)
        request = self.request(self.key, f"{name} authority")
        self.sign(request, self.certificate, VALID, "-selfsign", "-keyfile", self.key, "-extensions", "authority")

    def issue(self, name, dates=VALID, hosts=("app.lab", "second.lab"), self_signed=False):
        """Makes a certificate; its file, `NAME.pem`, holds the key as well."""
        key = self.directory / f"{name}.key"
        certificate = self.directory / f"{name}.crt"
        make_key(key)
        request = self.request(key, hosts[0])
        names = ",".join(f"DNS:{host}" for host in hosts)
        signer = ("-selfsign", "-keyfile", key) if self_signed else ("-cert", self.certificate, "-keyfile", self.key)
        self.sign(request, certificate, dates, *signer, names=names)
        both = self.certificate.with_name(f"{name}.pem")
        both.write_text(certificate.read_text() + key.read_text())
        return both

    def request(self, key, common_name):
        """A request for a certificate."""
        path = key.with_suffix(".csr")
        run("req", "-new", "-config", self.directory / "openssl.conf", "-section", "request", "-key", key,
            "-subj", f"/CN={common_name}", "-out", path)
        return path

    def sign(self, request, into, dates, *how, names="DNS:none"):
        """Signs a request."""
        begins, ends = dates
        run("ca", "-batch", "-notext", "-config", self.directory / "openssl.conf", "-in", request, "-out", into,
            "-startdate", begins, "-enddate", ends, *how, names=names)


def make_key(path):
    """Makes a key of an elliptic curve: small certificates make small captures."""
    run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def run(*command, names="DNS:none"):
    """Runs openssl."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NAMES": names}
    subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=20, env=environment)
