"""Dialling: when to try again, the token handshake, and what each refusal means."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ordernpay import __version__
from ordernpay.conversion import structure
from ordernpay.vendors.backoff import BackOff
from ordernpay.vendors.order_n_pay.dial import (
    MOST_HANDSHAKE_BYTES,
    CredentialsRefused,
    DialledLink,
    Unreachable,
    open_link,
)
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.order_n_pay.wire import AUTH_PATH
from ordernpay.vendors.protocol import LinkClosed
from tests.support import planted
from tests.support.daemons import session
from tests.support.wait import until

TOKEN = "PLANTED-token-9Zx"
HANDSHAKE = {
    "provider_outlet_id": planted.PROVIDER_OUTLET_ID,
    "pos_remote_id": planted.POS_REMOTE_ID,
    "auth_secret": planted.AUTH_SECRET,
}


@define
class Till:
    """A server that answers as it is told: one answer for the token, one for the websocket."""

    port: int = 0
    token_status: int = 200
    token_body: bytes = json.dumps({"AccessToken": TOKEN, "ErrorMessage": None}).encode()
    status: int = 101
    headers: str = ""
    close_code: int | None = None
    deaf: bool = False
    mute: bool = False
    owing: int = 0
    raw: bytes | None = None
    open_end: bool = False
    auth_requests: list[dict[str, Any]] = field(factory=list)
    paths: list[str] = field(factory=list)
    header_lines: list[str] = field(factory=list)

    ended: int = 0
    serving: set["asyncio.Task[None]"] = field(factory=set)
    ending: bool = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.create_task(self._serve_all(reader, writer)))

    async def _serve_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await self._serve(reader, writer)
        if self.ending:
            writer.transport.abort()
        else:
            writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    async def end(self) -> None:
        self.ending = True
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.decode().split(" ", 2)
        self.paths.append(path)
        self.header_lines += head.decode().splitlines()
        if self.deaf:
            await reader.read()
        elif self.raw is not None:
            writer.write(self.raw)
            if self.open_end:
                await asyncio.sleep(60)
        elif method == "POST":
            [length] = [line for line in head.decode().lower().splitlines() if line.startswith("content-length")]
            self.auth_requests.append(json.loads(await reader.readexactly(int(length.split(":")[1]))))
            writer.write(answer(self.token_status, self.token_body))
        elif self.status != 101:
            writer.write(answer(self.status, b"", self.headers))
        else:
            await self._websocket(head, reader, writer)
        await writer.drain()

    async def _websocket(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(head)
        [request] = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        if self.close_code is not None:
            protocol.send_close(self.close_code)
        for number in range(self.owing):
            protocol.send_text(str(number).encode())
        while self.mute:
            for data in protocol.data_to_send():
                writer.write(data)
            if not await reader.read(65536):
                self.ended += 1
                return
        while True:
            for data in protocol.data_to_send():
                if data:
                    writer.write(data)
            await writer.drain()
            data = b"" if protocol.close_expected() and self.close_code is None else await reader.read(65536)
            if not data:
                return
            protocol.receive_data(data)


def answer(status: int, body: bytes, headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} Told\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n".encode() + body
    )


@contextlib.asynccontextmanager
async def till(tls: ssl.SSLContext | None = None, **told: Any) -> AsyncIterator[Till]:
    one = Till(**told)
    server = await asyncio.start_server(one.connected, "127.0.0.1", 0, ssl=tls)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield one
        finally:
            await one.end()


def config(
    port: int, *, scheme: str = "ws", host: str = "127.0.0.1", path: str = "/", **changes: Any
) -> OrderNPayConfig:
    table = session(url=f"{scheme}://{host}:{port}{path}", connect_timeout=5.0)
    return structure(table | changes, OrderNPayConfig)


@contextlib.asynccontextmanager
async def linked(settings: OrderNPayConfig) -> AsyncIterator[DialledLink]:
    link = await open_link(settings)
    try:
        yield link
    finally:
        await link.close(1000, "done")


# Back-off


@given(st.floats(0, 1), st.integers(0, 100))
def test_each_wait_is_full_jitter_under_a_ceiling_that_doubles(picked: float, misses: int) -> None:
    back_off = BackOff(0.1, 30.0, lambda: picked)
    for _ in range(misses):
        back_off.after_miss()
    ceiling = min(30.0, 0.1 * 2 ** min(misses, 30))
    assert back_off.after_miss() == max(0.05, picked * ceiling)


def test_it_grows_to_its_ceiling_and_stays_there() -> None:
    back_off = BackOff(0.1, 30.0, lambda: 1.0)
    waits = [back_off.after_miss() for _ in range(2_000)]
    assert waits[:10] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0])
    assert set(waits[10:]) == {30.0}


def test_after_a_stable_link_the_first_try_is_at_once_and_the_ceiling_begins_anew() -> None:
    back_off = BackOff(0.1, 30.0, lambda: 1.0)
    for _ in range(9):
        back_off.after_miss()
    assert back_off.after_loss(stable=True) == 0.0
    assert back_off.after_miss() == pytest.approx(0.1)


def test_a_link_that_was_not_stable_resets_nothing() -> None:
    back_off = BackOff(0.1, 30.0, lambda: 1.0)
    waits = [back_off.after_loss(stable=False) for _ in range(4)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_by_default_the_jitter_is_random() -> None:
    assert len({BackOff(10.0, 30.0).after_miss() for _ in range(20)}) > 1


# The token handshake


async def test_the_three_values_are_posted_to_the_same_host_and_the_token_goes_into_the_query() -> None:
    async with till() as one, linked(config(one.port, path="/socket?x=1", token_parameter="access", **HANDSHAKE)):
        assert one.auth_requests == [
            {
                "ProviderOutletID": planted.PROVIDER_OUTLET_ID,
                "POSRemoteID": planted.POS_REMOTE_ID,
                "AuthSecret": planted.AUTH_SECRET,
            }
        ]
        assert one.paths == [AUTH_PATH, f"/socket?x=1&access={TOKEN}"]


async def test_what_is_no_tls_reads_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> ssl.SSLContext:
        raise AssertionError("the system's authorities were read")

    monkeypatch.setattr(ssl, "create_default_context", read)
    async with till() as one, linked(config(one.port, **HANDSHAKE)):
        assert len(one.paths) == 2


async def test_without_a_secret_there_is_no_handshake_and_no_path_is_a_slash() -> None:
    async with till() as one, linked(config(one.port, path="")):
        assert one.paths == ["/"]
    async with till() as one, linked(config(one.port, path="", **HANDSHAKE)):
        assert one.paths[1] == f"/?token={TOKEN}"


async def test_compression_is_not_offered_and_every_request_says_who_asks() -> None:
    async with till() as one, linked(config(one.port, **HANDSHAKE)):
        lines = [line.lower() for line in one.header_lines]
        assert not any("permessage-deflate" in line for line in lines)
        assert lines.count(f"user-agent: ordernpay/{__version__}") == 2  # the handshake's, and the websocket's
        assert sum(line.startswith("user-agent") for line in lines) == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_handshake_is_about_the_credentials(status: int) -> None:
    async with till(token_status=status) as one:
        with pytest.raises(CredentialsRefused, match=f"token handshake: refused with HTTP {status}"):
            await open_link(config(one.port, **HANDSHAKE))
        assert one.paths == [AUTH_PATH]


@pytest.mark.parametrize("status", [404, 429, 500, 503, 302])
async def test_any_other_status_of_the_handshake_is_worth_another_try(status: int) -> None:
    async with till(token_status=status) as one:
        with pytest.raises(Unreachable, match=f"token handshake: HTTP {status}"):
            await open_link(config(one.port, **HANDSHAKE))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 60_000])
async def test_an_answer_that_is_no_json_is_worth_another_try(body: bytes) -> None:
    async with till(token_body=body) as one:
        with pytest.raises(Unreachable, match="token handshake: the answer is no JSON"):
            await open_link(config(one.port, **HANDSHAKE))


@pytest.mark.parametrize("told", [{"AccessToken": None, "ErrorMessage": "no"}, {}, [], {"AccessToken": ""}])
async def test_an_answer_without_a_token_is_about_the_credentials(told: Any) -> None:
    async with till(token_body=json.dumps(told).encode()) as one:
        with pytest.raises(CredentialsRefused, match="answered without a token"):
            await open_link(config(one.port, **HANDSHAKE))


async def test_an_answer_that_does_not_end_is_not_read_to_its_end() -> None:
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (MOST_HANDSHAKE_BYTES + 1)
    async with till(raw=endless, open_end=True) as one:
        with pytest.raises(Unreachable, match=f"token handshake: the answer is longer than {MOST_HANDSHAKE_BYTES}"):
            await open_link(config(one.port, **HANDSHAKE))


async def test_a_token_behind_a_byte_order_mark_is_read() -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"AccessToken": TOKEN}).encode()
    async with till(token_body=body) as one, linked(config(one.port, **HANDSHAKE)):
        assert one.paths[1] == f"/?token={TOKEN}"


async def test_a_token_is_read_in_any_casing() -> None:
    async with till(token_body=json.dumps({"accessToken": 12}).encode()) as one, linked(config(one.port, **HANDSHAKE)):
        assert one.paths[1] == "/?token=12"


async def test_a_handshake_that_breaks_off_is_worth_another_try() -> None:
    async with till(raw=b"") as one:
        with pytest.raises(Unreachable, match="token handshake: it hung up without a word"):
            await open_link(config(one.port, **HANDSHAKE))


# The websocket


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_websocket_is_about_the_credentials(status: int) -> None:
    async with till(status=status) as one:
        with pytest.raises(CredentialsRefused, match=f"the POS refused the connection with HTTP {status}"):
            await open_link(config(one.port))


async def test_a_websocket_closed_at_once_for_policy_is_about_the_credentials() -> None:
    async with till(close_code=1008) as one:
        with pytest.raises(CredentialsRefused, match="code 1008"):
            await open_link(config(one.port))


async def test_a_websocket_closed_at_once_for_another_reason_is_worth_another_try() -> None:
    async with till(close_code=1013) as one:
        with pytest.raises(Unreachable, match="code 1013"):
            await open_link(config(one.port))


@pytest.mark.parametrize("status", [200, 404, 500, 502, 503])
async def test_any_other_status_is_worth_another_try(status: int) -> None:
    async with till(status=status) as one:
        with pytest.raises(Unreachable, match=f"HTTP {status} instead of opening a websocket"):
            await open_link(config(one.port))


@pytest.mark.parametrize("where", ["ws://127.0.0.1:{port}/", "wss://pos.example.net/", "/", "ws://[", ""])
async def test_a_redirect_is_not_followed(where: str) -> None:
    async with till() as elsewhere:
        told = f"Location: {where.format(port=elsewhere.port)}\r\n"
        async with till(status=302, headers=told) as one:
            with pytest.raises(Unreachable, match="HTTP 302 instead of opening a websocket"):
                await open_link(config(one.port))
            assert (len(one.paths), elsewhere.paths) == (1, [])


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
async def test_what_is_no_websocket_server_is_worth_another_try(raw: bytes) -> None:
    async with till(raw=raw) as one:
        with pytest.raises(Unreachable):
            await open_link(config(one.port))


async def test_nobody_there_no_such_name_and_silence_are_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for secret in ({}, HANDSHAKE):
        with pytest.raises(Unreachable):
            await open_link(config(port, **secret))
    for secret in ({}, HANDSHAKE):
        with pytest.raises(Unreachable):
            await open_link(config(port, host="pos.invalid", **secret))
    async with till(deaf=True) as one:
        for secret in ({}, HANDSHAKE):
            with pytest.raises(Unreachable, match=r"no connection within 0.2 s|token handshake: ReadTimeout"):
                await open_link(config(one.port, connect_timeout=0.2, **secret))


@pytest.mark.parametrize(
    "url", ["ws://a b/", "ws://exa\u2028mple/", f"ws://{'a' * 64}.net/", "ws://a.net/#b", "ws://é..a/"]
)
async def test_an_address_that_no_library_takes_ends_nothing_but_the_try(url: str) -> None:
    for secret in ({}, HANDSHAKE):
        with pytest.raises(Unreachable):
            await open_link(structure(session(url=url, **secret), OrderNPayConfig))


async def test_a_websocket_that_opens_and_then_keeps_silent_is_given_up_whole() -> None:
    async with till(mute=True) as one:
        for _ in range(3):
            with pytest.raises(Unreachable, match=r"no connection within 0.2 s"):
                await open_link(config(one.port, connect_timeout=0.2))
        await until(lambda: one.ended == 3)


@pytest.mark.parametrize("mute", [False, True])
async def test_a_pos_that_begins_with_all_that_it_owes_us_stands_and_nothing_is_lost(mute: bool) -> None:  # noqa: FBT001
    async with till(owing=500, mute=mute) as one, linked(config(one.port, connect_timeout=1.0)) as link:
        assert [await link.receive() for _ in range(500)] == [str(number).encode() for number in range(500)]


async def test_no_complaint_carries_the_secret_or_the_token() -> None:
    for told in ({"token_status": 500}, {"status": 403}, {"status": 500}, {"close_code": 1008}):
        async with till(**told) as one:  # type: ignore[arg-type]
            with pytest.raises((Unreachable, CredentialsRefused)) as caught:
                await open_link(config(one.port, **HANDSHAKE))
            assert "PLANTED" not in str(caught.value)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with till() as one, linked(config(one.port, **HANDSHAKE)):
        assert len(one.paths) == 2


# The link


async def test_a_link_says_how_it_ended() -> None:
    async with till() as one:
        link = await open_link(config(one.port))
        await link.close(1000, "done")
        for use in (link.send("x"), link.receive(), link.probe()):
            with pytest.raises(LinkClosed):
                await use


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_a_certificate_of_the_configured_authority_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    async with till(server_tls(authority, "127.0.0.1")) as one:
        settings = config(one.port, scheme="wss", ca_file=ca_file(authority, tmp_path), **HANDSHAKE)
        async with linked(settings) as link:
            await link.probe()
            assert link.certificate is not None
            assert link.certificate.expires > time.time()
        assert one.auth_requests


async def test_a_certificate_of_nobody_we_know_is_not(authority: trustme.CA) -> None:
    async with till(server_tls(authority, "127.0.0.1")) as one:
        with pytest.raises(Unreachable, match=r"TLS certificate not accepted: .*local issuer"):
            await open_link(config(one.port, scheme="wss"))
        with pytest.raises(Unreachable, match=r"token handshake: TLS certificate not accepted: .*local issuer"):
            await open_link(config(one.port, scheme="wss", **HANDSHAKE))
        assert one.auth_requests == []


async def test_a_certificate_for_another_name_is_not_and_the_name_is_shown(
    authority: trustme.CA, tmp_path: Path
) -> None:
    async with till(server_tls(authority, "elsewhere.example.net")) as one:
        with pytest.raises(Unreachable, match=r"IP address mismatch.*'127\.0\.0\.1'"):
            await open_link(config(one.port, scheme="wss", ca_file=ca_file(authority, tmp_path)))


async def test_the_systems_store_counts_beside_the_configured_file(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca_file(authority, tmp_path))  # the system knows the authority of the POS
    other = tmp_path / "other"
    other.mkdir()
    async with (
        till(server_tls(authority, "127.0.0.1")) as one,
        linked(config(one.port, scheme="wss", ca_file=ca_file(trustme.CA(), other))),
    ):
        assert one.paths


@pytest.mark.parametrize("content", [None, "no certificate at all"])
async def test_a_ca_file_that_cannot_be_used_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Unreachable, match=f"ca_file {path}: cannot be used"):
        await open_link(config(1, scheme="wss", ca_file=str(path)))
