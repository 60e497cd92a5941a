"""Certificates that the tests make themselves, each its own authority."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Pair:
    """A certificate and its key in two files, which a later pair can take over."""

    def __init__(self, folder: Path, name: str = "tls") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        self.serial = 0

    @property
    def settings(self) -> dict[str, str]:
        return {"certificate": str(self.certificate), "key": str(self.key)}

    def write(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        since: timedelta = -DAY,
        until: timedelta = DAY,
        password: bytes | None = None,
    ) -> "Pair":
        """Make a new pair, and write both files as one would who has not thought about readers."""
        certificate, key = self.make(names, since=since, until=until, password=password)
        self.certificate.write_bytes(certificate)
        self.key.touch(mode=0o600)
        self.key.write_bytes(key)
        return self

    def make(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        since: timedelta = -DAY,
        until: timedelta = DAY,
        password: bytes | None = None,
    ) -> tuple[bytes, bytes]:
        """Make a new pair, and give what belongs into the files."""
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
        self.serial = x509.random_serial_number()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(self.serial)
            .not_valid_before(now + since)
            .not_valid_after(now + until)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        encryption: KeySerializationEncryption = (
            NoEncryption() if password is None else BestAvailableEncryption(password)
        )
        return (
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def client_context(pair: Pair | None = None) -> ssl.SSLContext:
    """What a client trusts: this pair alone, or anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if pair is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(pair.certificate)
    return context


def server_context(pair: Pair) -> ssl.SSLContext:
    """The TLS side of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context
