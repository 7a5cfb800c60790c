"""
Tests for L{txsessions.redis.address}: where a server is, and TLS that is verified.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers import RedisServer
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from txsessions.redis.address import TLS, Access, Address
from txsessions.redis.client import Client
from txsessions.redis.errors import NotSent
from txsessions.redis.locator import Fixed
from txsessions.testing.ports import freePort


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address(), "127.0.0.1:6379"),
        (Address("::1", 1), "[::1]:1"),
        (Address(path="/run/redis"), "unix:/run/redis"),
    ],
)
def test_textOfAddress(address: Address, text: str) -> None:
    """
    An address is written as people write it.
    """
    assert str(address) == text


def test_whatIsSaidFirst() -> None:
    """
    A connection begins with the user and the database, and with nothing that is not needed.
    """
    assert Access().commands() == []
    assert Access(password="p").commands() == [("AUTH", "p")]
    assert Access("u").commands() == [("AUTH", "u", "")]
    assert Access("u", "p", 2).commands() == [("AUTH", "u", "p"), ("SELECT", 2)]


@attrs.frozen
class Authority:
    """
    An authority of our own, that signs certificates.
    """

    directory: Path
    key: Any = attrs.field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def sign(self, name: str, *, hosts: tuple[str, ...] = (), own: bool = False) -> tuple[str, str]:
        """
        Make a certificate.

        @param own: It is the certificate of the authority itself.
        @return: The files of the certificate and of its key.
        """
        key = self.key if own else ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
        )
        if hosts:
            names: list[x509.GeneralName] = [
                x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
                for host in hosts
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        files = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(files[0]), str(files[1])


async def ping(port: int, tls: TLS, host: str = "127.0.0.1") -> Any:
    """
    What a client says to a PING over TLS: the reply, or the error.
    """
    client = Client(
        reactor, Fixed(Address(host, port)), access=Access(tls=tls), timeout=2.0, random=lambda: 0.0
    )
    command: Deferred[Any] = client.execute("", "PING")
    [(succeeded, result)] = await DeferredList([command], consumeErrors=True)
    await client.close()
    return result if succeeded else result.value


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_TLS(run: Any, tmp_path: Any) -> None:
    """
    A certificate is taken only from an authority that is trusted and with the name that was
    asked for; and a server that wants a certificate of ours gets it.
    """
    authority = Authority(tmp_path)
    own, _ = authority.sign("authority", own=True)
    certificate, key = authority.sign("server", hosts=("127.0.0.1", "redis.example"))
    ours, oursKey = authority.sign("client")
    port = freePort()
    server = await run(
        RedisServer(
            tmp_path / "server",
            *("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key),
            *("--tls-ca-cert-file", own, "--tls-auth-clients", "no"),
        )
    )
    assert await ping(port, TLS(own)) == b"PONG"
    assert await ping(port, TLS(own, serverName="redis.example")) == b"PONG"
    for wrong in (TLS(), TLS(own, serverName="other.example")):
        error = await ping(port, wrong)
        assert isinstance(error, NotSent), wrong
        assert "certificate" in str(error).lower() or "verif" in str(error).lower()
    server.ask("CONFIG", "SET", "tls-auth-clients", "yes")
    assert isinstance(await ping(port, TLS(own)), NotSent)
    assert await ping(port, TLS(own, ours, oursKey)) == b"PONG"


@pytest_twisted.ensureDeferred
async def test_TLSFilesThatLack() -> None:
    """
    A file that is not there is told by its name.
    """
    error = await ping(1, TLS("/no/such/file.pem"))
    assert "/no/such/file.pem" in str(error)
