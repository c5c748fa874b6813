from __future__ import annotations

import socket
import ssl
import subprocess

import pytest

from connectors.base import Message


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A certificate authority of our own, and server contexts: good, expired, for another host."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "ca.key")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-days", "3650", "-subj", "/CN=Test CA", "-out", "ca.pem")
    contexts = {}
    for name, host, days in (
        ("good", "localhost", "3650"),
        ("expired", "localhost", "-1"),
        ("other", "elsewhere.example", "3650"),
    ):
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", f"{name}.key")
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={host}", "-out", f"{name}.csr")
        openssl(
            *f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days {days} -extfile {name}.ext -out {name}.pem".split()
        )
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    contexts["trusting"] = ssl.create_default_context(cafile=folder / "ca.pem")
    contexts["files"] = folder
    return contexts


@pytest.fixture
def nobody_listens():
    """A port at which connections are refused: it is held, so that no other test's server is given it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def letter():
    return Message(
        key="d41d8cd9",
        channel="email",
        sender="hello@corner.example",
        recipient="li@guest.example",
        body=b"Subject: Hello\r\nTo: li@guest.example\r\n\r\nDear Li,\r\n.a line with a dot\r\n..two\r\nlast line\r\n",
        template="win-back",
    )


@pytest.fixture
def text_message():
    return Message(
        key="a1b2c3",
        channel="sms",
        sender="+15005550006",
        recipient="+15005550101",
        body="See you soon, Li",
        template="win-back",
    )
