"""
Where a server is, and how one gets in.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint


@attrs.frozen
class Address:
    """
    Where a server listens.

    @ivar host: A name, or an address of IPv4 or IPv6 (without brackets).
    @ivar port: The TCP port.
    @ivar path: The path of a Unix socket, in place of host and port.
    """

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None

    def __str__(self) -> str:
        """
        As people write it.
        """
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class TLS:
    """
    How a connection is protected.  The certificate of the server is always
    verified.

    @ivar authorityFile: A PEM file with the certificates of the authorities
        to trust; C{None}: those the machine trusts.
    @ivar certificateFile: A PEM file with a certificate of our own, for a
        server that asks for one.
    @ivar keyFile: A PEM file with the key of that certificate; C{None}: it is
        in the same file.
    @ivar serverName: The name that the certificate of the server must have;
        C{None}: the host that is connected to.
    """

    authorityFile: str | None = None
    certificateFile: str | None = None
    keyFile: str | None = None
    serverName: str | None = None

    def creator(self, host: str) -> Any:
        """
        What makes the TLS side of one connection.  The files are read each
        time, so that renewed certificates are taken up.

        @param host: The host that is connected to.
        @return: An
            L{IOpenSSLClientConnectionCreator<twisted.internet.interfaces.IOpenSSLClientConnectionCreator>}.
        """
        # pyOpenSSL is needed by nobody but those who use TLS.
        from twisted.internet.ssl import optionsForClientTLS

        return optionsForClientTLS(
            self.serverName or host,
            trustRoot=self._trustRoot(),
            clientCertificate=self._certificate(),
        )

    def _trustRoot(self) -> Any:
        """
        Whom to trust.
        """
        from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates

        if self.authorityFile is None:
            return platformTrust()
        marker = b"-----END CERTIFICATE-----"
        with open(self.authorityFile, "rb") as file:
            texts = file.read().split(marker)[:-1]
        return trustRootFromCertificates([Certificate.loadPEM(text + marker) for text in texts])

    def _certificate(self) -> Any:
        """
        Our own certificate with its key, or C{None}.
        """
        from twisted.internet.ssl import PrivateCertificate

        if self.certificateFile is None:
            return None
        texts = []
        for name in dict.fromkeys((self.keyFile or self.certificateFile, self.certificateFile)):
            with open(name, "rb") as file:
                texts.append(file.read())
        return PrivateCertificate.loadPEM(b"\n".join(texts))


@attrs.frozen
class Access:
    """
    How one gets in: what is the same for every server of a deployment.

    Its C{repr} shows no password.

    @ivar user: The name of an ACL user; C{None}: the default user.
    @ivar password: The password; C{None}: there is none.
    @ivar database: The number of the database; a Cluster has only 0.
    @ivar tls: How the connection is protected; C{None}: it is not.
    """

    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    database: int = 0
    tls: TLS | None = None

    def commands(self) -> list[tuple[str | int, ...]]:
        """
        What to say first on a new connection.
        """
        commands: list[tuple[str | int, ...]] = []
        if self.user is not None:
            commands.append(("AUTH", self.user, self.password or ""))
        elif self.password is not None:
            commands.append(("AUTH", self.password))
        if self.database:
            commands.append(("SELECT", self.database))
        return commands

    def endpoint(self, reactor: Any, address: Address) -> IStreamClientEndpoint:
        """
        The endpoint that connects to a server.

        @param reactor: The reactor.
        """
        if address.path is not None:
            return UNIXClientEndpoint(reactor, address.path)
        endpoint = HostnameEndpoint(reactor, address.host, address.port)
        if self.tls is None:
            return endpoint
        return wrapClientTLS(self.tls.creator(address.host), endpoint)
