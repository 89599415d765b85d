"""TLS to a vendor: what is shown, and in which words it is told why there is none."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ordernpay.clock import SystemClock
from ordernpay.config import config_faults
from ordernpay.conversion import structure
from ordernpay.vendors.http import Answered, Call, Http
from ordernpay.vendors.order_n_pay.dial import Unreachable, open_link
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.tls import ClientTls, Unusable
from tests.support.daemons import session
from tests.support.wait import until
from tests.vendors.given import in_time, serving

OURS, THEIRS = trustme.CA(), trustme.CA()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Server:
    """A vendor in a thread, whose TLS sends the alerts that nginx and IIS send; asyncio's sends none."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.shown: list[dict[str, Any] | None] = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            with connection if self.tls is None else self.tls.wrap_socket(connection, server_side=True) as stream:
                if isinstance(stream, ssl.SSLSocket):
                    self.shown.append(stream.getpeercert())
                stream.recv(65_536)
                stream.sendall(ANSWER)
        except OSError:
            connection.close()


def server_tls(name: str = "127.0.0.1", *, wants: bool = False, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    THEIRS.issue_cert(name).configure_cert(context)
    if wants:
        context.verify_mode = ssl.CERT_REQUIRED
        OURS.configure_trust(context)
    if newest is not None:
        context.maximum_version = newest
    return context


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for one in started:
        one.listener.close()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    THEIRS.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, authority in (("ours", OURS), ("stranger", trustme.CA())):
        leaf = authority.issue_cert("kiosks.example")
        (tmp_path / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        (tmp_path / f"{name}.key").write_bytes(leaf.private_key_pem.bytes())
    return {path.name: str(path) for path in tmp_path.iterdir()}


def shows(files: dict[str, str], name: str | None) -> ClientTls:
    if name is None:
        return ClientTls(files["ca.pem"])
    return ClientTls(files["ca.pem"], files[f"{name}.pem"], Path(files[f"{name}.key"]).read_text())


async def ask(port: int, tls: ClientTls, scheme: str) -> str:
    http = Http(SystemClock(), tls)
    async with serving(http.run):
        await until(lambda: http._tasks is not None)
        result = await http.send(Call("GET", f"{scheme}://127.0.0.1:{port}/"), in_time())
    return "answered" if isinstance(result, Answered) else result.why


async def dial(port: int, tls: ClientTls, scheme: str) -> str:
    table: dict[str, Any] = session(url=f"{scheme}://127.0.0.1:{port}/", connect_timeout=5.0, ca_file=tls.ca_file)
    if tls.key is not None:
        table |= {"client_certificate": tls.certificate, "client_key": tls.key}
    with pytest.raises(Unreachable) as caught:
        await open_link(structure(table, OrderNPayConfig))
    return str(caught.value)


V12 = ssl.TLSVersion.TLSv1_2
WORDS: list[tuple[str, dict[str, Any], str | None, str, str]] = [
    ("a port without TLS", {"plain": True}, None, "s", "speaks no TLS"),
    ("a port with TLS", {}, None, "", "TLS"),
    ("another name", {"name": "pos.example"}, None, "s", "TLS certificate not accepted: IP address mismatch"),
    ("wants a certificate", {"wants": True}, None, "s", "client certificate"),
    ("wants a certificate, TLS 1.2", {"wants": True, "newest": V12}, None, "s", "client certificate"),
    ("does not like ours", {"wants": True}, "stranger", "s", "accept our client_certificate"),
    (
        "does not like ours, TLS 1.2",
        {"wants": True, "newest": V12},
        "stranger",
        "s",
        "not accept our client_certificate",
    ),
]


@pytest.mark.parametrize("way", [ask, dial])
@pytest.mark.parametrize(("case", "server", "ours", "safe", "words"), WORDS, ids=[case[0] for case in WORDS])
async def test_a_mismatch_of_tls_is_told_in_words_that_help(
    way: Any,
    case: str,
    server: dict[str, Any],
    ours: str | None,
    safe: str,
    words: str,
    servers: list[Server],
    files: dict[str, str],
) -> None:
    plain = server.pop("plain", False) if "plain" in (server := dict(server)) else False
    servers.append(Server(None if plain else server_tls(**server)))
    scheme = ("http" if way is ask else "ws") + safe
    assert words in await asyncio.wait_for(way(servers[0].port, shows(files, ours), scheme), 20)


@pytest.mark.parametrize("newest", [None, V12])
async def test_our_certificate_is_shown_to_who_asks_for_it(
    newest: ssl.TLSVersion | None, servers: list[Server], files: dict[str, str]
) -> None:
    servers.append(Server(server_tls(wants=True, newest=newest)))
    assert await ask(servers[0].port, shows(files, "ours"), "https") == "answered"
    assert "HTTP 200 instead of opening a websocket" in await dial(
        servers[0].port, shows(files, "ours"), "wss"
    )  # but TLS
    assert len(servers[0].shown) == 2
    assert all(servers[0].shown)


@pytest.mark.parametrize("broken", ["ca.pem", "ours.pem"])
def test_a_file_that_cannot_be_used_is_named(broken: str, files: dict[str, str]) -> None:
    tls = shows(files, "ours")
    Path(files[broken]).unlink()
    with pytest.raises(Unusable, match=f"{files[broken]}: cannot be used \\(No such file"):
        tls.context()
    Path(files[broken]).write_text("no certificate")
    with pytest.raises(Unusable, match=f"{files[broken]}.*cannot be used"):
        tls.context()


def test_a_key_of_another_certificate_is_told_without_the_key(files: dict[str, str]) -> None:
    tls = ClientTls(None, files["ours.pem"], Path(files["stranger.key"]).read_text())
    with pytest.raises(Unusable, match="cannot be used together \\(key values mismatch") as caught:
        tls.context()
    assert "PRIVATE" not in str(caught.value) + repr(tls)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"client_certificate": "x.pem"}, "client_key"),
        ({"client_key": "-----BEGIN PRIVATE KEY-----"}, "client_certificate"),
        ({"client_certificate": "x.pem", "client_key": "/etc/x.key"}, "client_key"),
    ],
)
def test_certificate_and_key_go_together_and_a_key_is_no_path(given: dict[str, str], path: str) -> None:
    config = structure(session(url="wss://pos.example.net/", **given), OrderNPayConfig)
    assert [fault.path for fault in config_faults(config)] == [path]
