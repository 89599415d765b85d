"""What a stranger can hold at the HTTP port, and for how long; and who is not touched by it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from ordernpay.inbound import HttpDoor, turns
from ordernpay.inbound import connections as counting
from ordernpay.inbound import server as module
from ordernpay.vendors.protocol import Door, HttpAnswer, HttpRequest, Link, LinkClosed, WebsocketDoor
from tests.inbound.serving import door_of, listening, speaks
from tests.support.wait import until

PATH = "/hook"
REFUSAL = HttpAnswer(401, {"error": "no"})
UPGRADE = (
    b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)
POST = b"POST /hook HTTP/1.1\r\nHost: x\r\n"
GOOD = POST + b"X-Proof: good\r\nContent-Length: 2\r\n\r\n{}"


async def echo(link: Link) -> None:
    with contextlib.suppress(LinkClosed):
        while True:
            await link.send(str(len(await link.receive())))


async def takes(request: HttpRequest) -> HttpAnswer | None:
    return HttpAnswer(200, {}) if request.headers.get("x-proof") == "good" else None


HOOK = Door(PATH, takes, REFUSAL, max_body_bytes=100_000, patient=True)
LINK = WebsocketDoor("/ws", lambda request: echo if request.query.get("token") == "good" else None)


def quick(**bounds: Any) -> HttpDoor:
    """A server whose strangers have little time."""
    door = door_of(HOOK, LINK)
    for name, value in {"head_seconds": 0.4, "exchange_seconds": 0.6, "linger_seconds": 0.4, **bounds}.items():
        setattr(door.connections, name, value)
    return door


@pytest.fixture(params=["plain", "tls"])
def dressed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[HttpDoor], ssl.SSLContext | None]:
    """Have a server speak TLS, or not; what its clients need for it."""

    def dress(door: HttpDoor) -> ssl.SSLContext | None:
        if request.param == "plain":
            return None
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1")
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        leaf.cert_chain_pems[0].write_to_path(str(certificate))
        leaf.private_key_pem.write_to_path(str(key))
        door.show(str(certificate), str(key))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    return dress


Dress = Callable[[HttpDoor], ssl.SSLContext | None]


@contextlib.asynccontextmanager
async def stranger(
    address: str, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()


async def heard(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other end hangs up."""
    told = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65_536):
                told += part
    return told


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


# How long


@pytest.mark.parametrize(
    "said",
    [b"", b"POST / HT", POST, POST + b"Content-Length: 2\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{"],
    ids=["nothing", "half a line", "half a head", "no body", "half a body"],
)
async def test_who_says_no_whole_request_is_hung_up_on(said: bytes, dressed: Dress) -> None:
    door = quick()
    context = dressed(door)
    async with listening(door) as address, stranger(address, context) as (reader, writer):
        writer.write(said)
        assert await heard(reader) == b""
        await until(lambda: door.connections.strangers == 0)


@pytest.mark.parametrize("said", [GOOD, POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n{\r\n" * 40])
async def test_a_byte_now_and_then_holds_nothing(said: bytes) -> None:
    door = quick()
    async with listening(door) as address, stranger(address) as (reader, writer):
        hearing = asyncio.create_task(heard(reader))
        for byte in said:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
            if hearing.done():
                break
        assert await hearing == b""


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_handshake_that_does_not_end_is_ended(said: bytes, tmp_path: Path) -> None:
    door = quick(head_seconds=0.3)
    leaf = trustme.CA().issue_cert("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    leaf.private_key_pem.write_to_path(str(key))
    door.show(str(certificate), str(key))
    async with listening(door) as address, stranger(address) as (reader, writer):
        await until(lambda: door.connections.strangers == 1)  # counted before it
        writer.write(said)
        await heard(reader)
        await until(lambda: door.connections.strangers == 0)


async def test_answers_that_nobody_reads_hold_nothing(dressed: Dress) -> None:
    door = door_of(Door(PATH, lambda _: large(), REFUSAL, methods=("GET",)))
    door.connections.exchange_seconds = 0.6
    context = dressed(door)

    async def large() -> HttpAnswer:
        return HttpAnswer(200, "x" * 20_000_000)

    async with listening(door) as address, stranger(address, context) as (reader, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /hook HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: door.connections.accepted == 1)
        await until(lambda: door.connections.strangers == door.connections.proved == 0, 30)
        del reader


async def test_a_request_that_takes_long_to_handle_is_not_hung_up_on(dressed: Dress) -> None:
    async def slow(_: HttpRequest) -> HttpAnswer:
        await asyncio.sleep(1.5)
        return HttpAnswer(200, {})

    door = door_of(Door(PATH, slow, REFUSAL))
    door.connections.head_seconds = door.connections.exchange_seconds = 0.3
    context = dressed(door)
    async with listening(door) as address, stranger(address, context) as (reader, writer):
        writer.write(POST + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
        assert status(await heard(reader)) == 200


async def test_who_proved_itself_may_ask_again_and_idles_not_for_long(dressed: Dress) -> None:
    door = quick()
    context = dressed(door)
    async with listening(door) as address, stranger(address, context) as (reader, writer):
        for _ in range(3):
            writer.write(GOOD)
            assert status(await reader.readuntil(b"{}")) == 200
        assert await heard(reader) == b""


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nowhere"])
async def test_what_anybody_may_ask_for_is_answered_once(path: str, dressed: Dress) -> None:
    door = quick(head_seconds=30.0, exchange_seconds=30.0)
    context = dressed(door)
    async with listening(door) as address, stranger(address, context) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await heard(reader)
        assert status(answer) in {200, 404}
        assert answer.lower().count(b"connection: close") == 1
        await until(lambda: door.connections.strangers == 0)


async def test_a_page_of_metrics_is_not_made_for_each_that_asks() -> None:
    door = door_of()
    made = 0

    async def page() -> bytes:
        nonlocal made
        made += 1
        return b"page\n"

    door = HttpDoor(door._config, door._sessions, page)
    transport = httpx.ASGITransport(app=door.answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        for _ in range(200):
            assert (await client.get("/metrics")).text == "page\n"
    assert made < 40


# How many


async def test_newcomers_are_let_in_beside_strangers_that_hold_all_slots(dressed: Dress) -> None:
    door = quick(most=8, head_seconds=60.0, exchange_seconds=60.0)
    context = dressed(door)
    async with listening(door) as address, contextlib.AsyncExitStack() as stack:
        for _ in range(30):
            await stack.enter_async_context(stranger(address))
        await until(lambda: door.connections.accepted >= 20)
        assert door.connections.strangers <= 8
        async with stranger(address, context) as (reader, writer):
            writer.write(GOOD)
            assert status(await reader.readuntil(b"{}")) == 200


async def test_a_link_is_neither_kept_out_nor_thrown_out_by_strangers(dressed: Dress) -> None:
    door = quick(most=4)
    context = dressed(door)
    scheme = "ws" if context is None else "wss"
    async with listening(door) as address, contextlib.AsyncExitStack() as stack:
        links = []
        for _ in range(6):  # more than there are slots
            for _ in range(3):
                await stack.enter_async_context(stranger(address))
            opening = connect(f"{scheme}://{address}/ws?token=good", compression=None, proxy=None, ssl=context)
            links.append(await stack.enter_async_context(opening))
        for _ in range(20):
            await stack.enter_async_context(stranger(address))
        await asyncio.sleep(1.5)  # beyond every deadline of a stranger's
        for link in links:
            await link.send("hello")
            assert await link.recv() == "5"
        assert door.connections.proved == 6
        await until(lambda: door.connections.strangers == 0)
        for link in links:
            await link.close()
        await until(lambda: door.connections.proved == 0)


async def test_a_link_that_takes_nothing_more_is_ended_by_its_pings() -> None:
    ended = asyncio.Event()

    async def flood(link: Link) -> None:
        with contextlib.suppress(LinkClosed):
            while True:
                await link.send("x" * 100_000)
        ended.set()

    door = door_of(WebsocketDoor("/ws", lambda _: flood), ping_interval=0.2, ping_timeout=0.2)
    async with listening(door) as address, stranger(address) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /ws HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        async with asyncio.timeout(10):
            await ended.wait()
        await until(lambda: door.connections.proved == door.connections.strangers == 0)


async def test_pongs_that_nobody_reads_are_not_kept() -> None:
    door = door_of(LINK)
    held: list[Any] = []
    async with listening(door) as address, stranger(address) as (reader, writer):
        writer.write(b"GET /ws?token=good HTTP/1.1\r\n" + UPGRADE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        held += door.connections._proved
        ping = b"\x89\xfd\0\0\0\0" + b"x" * 125
        for _ in range(600):
            writer.write(ping * 100)
            await writer.drain()
        assert held[0].transport.get_write_buffer_size() < 500_000
        writer.transport.abort()


async def test_small_frames_of_a_link_are_read_a_few_at_a_time(dressed: Dress) -> None:
    """All that one read brings is parsed before anybody else has a turn."""
    heard = 0

    async def count(link: Link) -> None:
        nonlocal heard
        with contextlib.suppress(LinkClosed):
            while True:
                await link.receive()
                heard += 1
                if heard == 1:
                    await asyncio.sleep(0.3)  # while more than one read's worth comes

    door = door_of(WebsocketDoor("/ws", lambda _: count))
    context = dressed(door)
    read: list[int] = []
    data_received = module._WebsocketProtocol.data_received

    def seen(self: Any, data: bytes) -> None:
        read.append(len(data))
        data_received(self, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._WebsocketProtocol, "data_received", seen)
        async with listening(door) as address, stranger(address, context) as (reader, writer):
            writer.write(b"GET /ws HTTP/1.1\r\n" + UPGRADE + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x81\x80\0\0\0\0" * 10_000)
            await until(lambda: heard == 10_000, 30)
    assert max(read[1:]) <= 4_096


# Bodies


async def test_bodies_share_their_memory(monkeypatch: pytest.MonkeyPatch, dressed: Dress) -> None:
    monkeypatch.setattr(counting, "BODY_BYTES", 300_000)
    door = quick(head_seconds=30.0, exchange_seconds=30.0)
    context = dressed(door)
    async with listening(door) as address, contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            _, writer = await stack.enter_async_context(stranger(address, context))
            writer.write(POST + b"Content-Length: 90000\r\n\r\n" + b"x" * 89_999)
        await until(lambda: door.connections.put_out["memory"] >= 16)
        assert door.connections._body_bytes <= 300_000
        async with stranger(address, context) as (reader, writer):  # and who has something to say is heard meanwhile
            writer.write(POST + b"X-Proof: good\r\nConnection: close\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000)
            assert status(await heard(reader)) == 200


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"Content-Length: 100001\r\n\r\n", 413),
        (b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n\r\n" + b"2000\r\n" + b"x" * 0x2000 + b"\r\n", 413),
        (b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"Content-Length: -1\r\n\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        (b"Transfer-Encoding: xchunked\r\n\r\n", 501),
        (b"Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n", 413),
    ],
)
async def test_a_body_without_sense_or_end_is_refused_at_its_head(head: bytes, answer: int, dressed: Dress) -> None:
    door = quick(exchange_seconds=30.0)
    context = dressed(door)
    async with listening(door) as address, stranger(address, context) as (reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(POST + b"X-Proof: good\r\n" + head)
            for _ in range(40):
                writer.write(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        told = status(await heard(reader))  # which is not lost, though we have not read all that came
        assert told == answer or (answer, told) == (200, 413) or (answer, told) == (501, 400)


async def test_a_body_is_read_only_where_the_head_gives_reason_to(dressed: Dress) -> None:
    asked = 0

    async def handle(_: HttpRequest) -> HttpAnswer | None:
        nonlocal asked
        asked += 1
        return None

    def expects(request: HttpRequest) -> int:
        return 1_000 if "x-proof" in request.headers else 0

    door = door_of(Door(PATH, handle, REFUSAL, patient=True, expects=expects))
    context = dressed(door)
    async with listening(door) as address:
        for head, answer in ((b"", 401), (b"X-Proof: bad\r\n", 413)):
            async with stranger(address, context) as (reader, writer):
                writer.write(POST + head + b"Content-Length: 50000\r\n\r\n" + b"x" * 20_000)  # and nothing more
                assert status(await heard(reader)) == answer
    assert asked == 0


async def test_a_continue_that_is_waited_for_holds_no_longer_than_a_body() -> None:
    door = quick()
    async with listening(door) as address, stranger(address) as (reader, writer):
        writer.write(POST + b"X-Proof: good\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await heard(reader)).startswith(b"HTTP/1.1 100 ")
        await until(lambda: door.connections.strangers == 0)


# Oddities

ODD = {
    "no request": (b"\x00\xff\x16\x03garbage\r\n\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "another version": (b"GET / HTTP/9.9\r\n\r\n", 404),
    "http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404),
    "a long path": (b"GET /" + b"p" * 60_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a long header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000, 400),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n", 431),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 100_000, 400),
    "a path of bytes": (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a strange method": (b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "a broken chunk": (POST.replace(PATH.encode(), b"/healthz") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a slash too many": (b"GET /healthz/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "another upgrade": (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 404),
    "upgrade, long path": (b"GET /" + b"p" * 20_000 + b" HTTP/1.1\r\n" + UPGRADE + b"\r\n", 400),
    "upgrade, long header": (b"GET / HTTP/1.1\r\n" + UPGRADE + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 400),
    "upgrade, many headers": (b"GET / HTTP/1.1\r\n" + UPGRADE + b"X: a\r\n" * 200 + b"\r\n", 400),
    "upgrade without key": (b"GET / HTTP/1.1\r\n" + UPGRADE.replace(b"Sec-WebSocket-Key", b"Other") + b"\r\n", 400),
    "upgrade, old version": (b"GET / HTTP/1.1\r\n" + UPGRADE.replace(b": 13", b": 7") + b"\r\n", 400),
    "upgrade, bad key": (b"GET / HTTP/1.1\r\n" + UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"!!") + b"\r\n", 400),
    "upgrade by post": (b"POST /ws HTTP/1.1\r\n" + UPGRADE + b"Content-Length: 5\r\n\r\nhello", 400),
    "upgrade, latin-1": (b"GET / HTTP/1.1\r\n" + UPGRADE + b"X: \xff\xfe\r\n\r\n", 403),
    "upgrade, other path": (b"GET /metrics HTTP/1.1\r\n" + UPGRADE + b"\r\n", 403),
    "upgrade, no token": (b"GET /ws HTTP/1.1\r\n" + UPGRADE + b"\r\n", 403),
}


@pytest.mark.parametrize("name", ODD)
async def test_oddities_are_answered_and_ended(name: str, dressed: Dress, caplog: pytest.LogCaptureFixture) -> None:
    said, answer = ODD[name]
    door = quick(exchange_seconds=30.0)
    context = dressed(door)
    async with listening(door) as address, stranger(address, context) as (reader, writer):
        with capture_logs() as logs, contextlib.suppress(ConnectionError):
            writer.write(said)
            told = await heard(reader)
        assert status(told) == answer, told[:100]
        await until(lambda: door.connections.strangers == 0)
    assert not [entry for entry in logs if "exc_info" in entry or entry["log_level"] == "error"]
    assert not caplog.records


async def test_requests_in_one_breath_are_answered_once_and_ended() -> None:
    door = quick()
    async with listening(door) as address, stranger(address) as (reader, writer):
        writer.write(GOOD * 50)
        answer = await heard(reader)
        assert answer.count(b"HTTP/1.1 200") == 1
        await until(lambda: door.connections.strangers == 0)


async def test_what_breaks_in_ours_is_one_line_and_a_500() -> None:
    async def breaks(_: HttpRequest) -> HttpAnswer:
        raise ZeroDivisionError

    door = door_of(Door(PATH, breaks, REFUSAL))
    async with listening(door) as address, stranger(address) as (reader, writer):
        with capture_logs() as logs:
            writer.write(POST + b"Content-Length: 0\r\n\r\n")
            assert status(await heard(reader)) == 500
    assert [(entry["event"], entry["path"]) for entry in logs] == [("request_broke", PATH)]


# The loop


async def test_strangers_bytes_are_worked_on_a_little_at_a_time(
    dressed: Dress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of one byte are the dearest bytes that there are; all that come at once are not read in one turn."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    door = quick(head_seconds=60.0, exchange_seconds=60.0)
    context = dressed(door)
    async with listening(door) as address, contextlib.AsyncExitStack() as stack:
        writers = [(await stack.enter_async_context(stranger(address, context)))[1] for _ in range(20)]
        await until(lambda: door.connections.strangers == 20)
        for writer in writers:
            writer.write(POST + b"X-Proof: good\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2_000)
        most, before = 0, dict.fromkeys(door.connections._strangers, 0)
        async with asyncio.timeout(60):
            while sum(before.values()) < 40_000:
                await asyncio.sleep(0)
                now = {one: one.body for one in door.connections._strangers}
                most = max(most, sum(now[one] != before[one] for one in now))
                before = now
    assert 1 <= most <= 3  # what was read in a turn is counted in the next, or in the one after that


async def test_descriptors_that_are_gone_cost_no_processor_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ACCEPT_PAUSE", 0.3)
    door = quick(most=4)
    tried = 0

    async with listening(door) as address:
        loop = asyncio.get_running_loop()
        accept, gone = loop.sock_accept, True

        async def sock_accept(sock: socket.socket) -> Any:
            nonlocal tried
            tried += 1
            if gone:
                raise OSError(24, "Too many open files")
            return await accept(sock)

        monkeypatch.setattr(loop, "sock_accept", sock_accept)
        with capture_logs() as logs:
            async with stranger(address) as (reader, writer):
                await until(lambda: tried >= 3)
                assert tried <= 10
                gone = False
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert status(await heard(reader)) == 200
    assert {entry["event"] for entry in logs} == {"connections_not_accepted"}


def test_a_tls_connection_has_a_small_buffer() -> None:
    assert module._TlsProtocol.max_size <= 2**14


async def test_silent_sockets_at_a_stop_do_not_keep_it_waiting() -> None:
    door = quick(head_seconds=60.0)
    with contextlib.ExitStack() as stack:
        async with asyncio.timeout(10), listening(door) as address:
            host, port = address.split(":")
            held = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(5)]
            await until(lambda: door.connections.strangers == 5)
            assert all(speaks(one) for one in held)
        assert not any(speaks(one) for one in held)
