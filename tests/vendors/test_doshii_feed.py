"""Doshii's socket: greeted with a ping, kept alive, found out when it is silent, and dialled again whenever it ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from attrs import define, field
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from ordernpay import __version__
from ordernpay.certificates import Certificate, of_peer
from ordernpay.clock import SystemClock
from ordernpay.vendors.doshii.feed import MOST_BYTES, Feed
from tests.support.wait import until
from tests.vendors.given import HandClock, doshii, serving
from tests.vendors.peer import Peer, peer, reset
from tests.vendors.test_http import tls

FAST: Final[dict[str, Any]] = {"reconnect_min": 0.05, "reconnect_max": 0.1, "ping_interval": 0.05, "ping_timeout": 5}
PING: Final = "ping"


@define(eq=False)
class Doshii:
    """The other end: every connection, what came over it, and what is done with it."""

    port: int = 0
    paths: list[str] = field(factory=list)
    frames: list[Any] = field(factory=list)
    links: list[ServerConnection] = field(factory=list)
    refuse: int | None = None
    pong: bool = True

    async def handle(self, link: ServerConnection) -> None:
        self.links.append(link)
        async for text in link:
            message = json.loads(text)
            self.frames.append(message)
            if self.pong and PING in message.get("doshii", {}):
                await link.send(json.dumps({"doshii": {"pong": message["doshii"][PING], "version": "3.9.1"}}))

    def admit(self, link: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        return link.respond(HTTPStatus(self.refuse), "no") if self.refuse else None


@contextlib.asynccontextmanager
async def listening(context: Any = None) -> AsyncIterator[Doshii]:
    vendor = Doshii()
    server: Server
    async with serve(
        vendor.handle, "127.0.0.1", 0, process_request=vendor.admit, ssl=context, ping_interval=None, close_timeout=0.1
    ) as server:
        vendor.port = next(iter(server.sockets)).getsockname()[1]
        yield vendor


@define(eq=False)
class Ears:
    """What the feed told."""

    events: list[tuple[str, Any]] = field(factory=list)
    changes: list[tuple[str, str | None]] = field(factory=list)
    ups: int = 0
    seen: list[tuple[str, Certificate | None]] = field(factory=list)

    def on_seen(self, host: str, connection: object) -> None:
        self.seen.append((host, of_peer(connection)))

    async def on_event(self, name: str, data: Any, raw: Any) -> None:
        self.events.append((name, data))

    async def on_up(self) -> None:
        self.ups += 1

    def on_change(self, state: str, why: str | None) -> None:
        self.changes.append((state, why))

    def lost(self) -> list[str | None]:
        return [why for state, why in self.changes if state != "up"]


def feed(
    ears: Ears, url: str, clock: Any = None, on_event: Callable[..., Awaitable[None]] | None = None, **config: Any
) -> Feed:
    settings = doshii(socket_url=url, **(FAST | config))
    heard = on_event or ears.on_event
    return Feed("cafe", settings, clock or SystemClock(), heard, ears.on_up, ears.on_change, ears.on_seen)


def url(vendor: Doshii | Peer, path: str = "/app/socket/v3") -> str:
    return f"ws://127.0.0.1:{vendor.port}{path}"


async def test_the_connection_is_that_of_the_page() -> None:
    ears = Ears()
    async with listening() as vendor:
        clock = HandClock(time=1_767_225_600.123)
        async with serving(feed(ears, url(vendor), clock, device_id="d/1").run):
            await until(lambda: len(vendor.frames) >= 3)
        [path] = vendor.paths
    assert urlsplit(path).path == "/app/socket/v3"
    assert parse_qs(urlsplit(path).query) == {"auth": ["YXBwLWNsaWVudC03NzMx"], "deviceId": ["d/1"]}
    assert vendor.frames[0] == {"doshii": {"ping": 1_767_225_600_123, "version": __version__}}
    assert (ears.changes, ears.ups, ears.events) == ([("up", None)], 1, [])


@pytest.mark.parametrize(("path", "asked"), [("", "/"), ("/app?x=1", "/app")])
async def test_the_address_is_kept_as_it_is(path: str, asked: str) -> None:
    async with listening() as vendor, serving(feed(Ears(), url(vendor, path)).run):
        await until(lambda: vendor.frames)
    sent = urlsplit(vendor.paths[0])
    assert (sent.path, parse_qs(sent.query).get("x")) == (asked, ["1"] if "x=1" in path else None)


async def test_events_in_every_envelope_in_order_and_junk_beside_them() -> None:
    ears = Ears()
    frames: list[str | bytes] = [
        json.dumps({"emit": ["a", {"n": 1}]}),
        "junk",
        "[" * 5_000,
        '"primus::ping::1"',
        b"\xff\xfe",
        '{"emit": ["b", {"text": "\\ud83d", "n": 1e999999999999999999999, "x": NaN}]}',
        json.dumps({"event": "c", "data": {}}),
        json.dumps({"type": "message", "data": {"doshii": {"pong": 1}}}),
        '{"doshii": 7}',
        json.dumps({"type": "d", "data": {}}),
    ]
    async with listening() as vendor, serving(feed(ears, url(vendor)).run):
        await until(lambda: vendor.links)
        for frame in frames:
            await vendor.links[0].send(frame)
        await until(lambda: len(ears.events) == 4)
    assert [name for name, _ in ears.events] == ["a", "b", "c", "d"]
    assert ears.events[1][1] == {"text": "\ufffd", "n": "1e999999999999999999999", "x": "NaN"}
    assert len(vendor.links) == 1


async def test_a_ping_of_doshii_is_answered() -> None:
    async with listening() as vendor, serving(feed(Ears(), url(vendor)).run):
        await until(lambda: vendor.links)
        await vendor.links[0].send('{"doshii":{"ping":1767225600123}}')
        await until(lambda: {"doshii": {"pong": 1_767_225_600_123, "version": __version__}} in vendor.frames)


async def test_an_event_that_is_not_durable_yet_holds_the_next_one_up() -> None:
    ears, go = Ears(), asyncio.Event()

    async def slow(name: str, data: Any, raw: Any) -> None:
        await go.wait()
        await ears.on_event(name, data, raw)

    async with listening() as vendor, serving(feed(ears, url(vendor), on_event=slow).run):
        await until(lambda: vendor.links)
        for number in range(3):
            await vendor.links[0].send(json.dumps({"emit": ["e", {"n": number}]}))
        await until(lambda: len(vendor.frames) >= 2)
        assert ears.events == []
        go.set()
        await until(lambda: len(ears.events) == 3)
    assert [data["n"] for _, data in ears.events] == [0, 1, 2]


async def test_a_link_that_only_looks_alive_is_found_out() -> None:
    ears = Ears()
    async with listening() as vendor:
        vendor.pong = False
        async with serving(feed(ears, url(vendor), ping_timeout=0.05).run):
            await until(lambda: len(vendor.links) >= 2)
    assert ears.lost()[0] == "silent: nothing within 0.05 s of a ping"


async def test_a_link_that_falls_silent_after_a_reconnect_is_found_out_at_its_first_ping() -> None:
    """What was heard on the last link says nothing of the new one."""
    ears = Ears()
    async with listening() as vendor, serving(feed(ears, url(vendor), ping_interval=60, ping_timeout=0.1).run):
        await until(lambda: vendor.links)
        for _ in range(2):
            await vendor.links[0].send(json.dumps({"emit": ["e", {}]}))
        await until(lambda: len(ears.events) == 2)
        vendor.pong = False
        await vendor.links[0].close()
        await until(lambda: "silent: nothing within 0.1 s of a ping" in ears.lost())


async def test_a_lost_link_is_made_anew_and_what_was_missed_is_caught_up_with() -> None:
    ears = Ears()
    async with listening() as vendor, serving(feed(ears, url(vendor)).run):
        await until(lambda: len(vendor.links) == 1)
        await vendor.links[0].close(1001, "going away")
        await until(lambda: len(vendor.links) == 2)
        vendor.links[1].transport.abort()
        await until(lambda: len(vendor.links) == 3)
        await until(lambda: ears.ups == 3)
    assert ears.lost() == ["closed by Doshii with code 1001", "connection lost"]


async def test_a_reconnect_on_demand_does_not_wait() -> None:
    ears = Ears()
    async with listening() as vendor:
        socket = feed(ears, url(vendor), reconnect_min=60, reconnect_max=60, stable_seconds=600)
        async with serving(socket.run):
            await until(lambda: ears.ups == 1)
            socket.reconnect()
            await until(lambda: ears.ups == 2)
            await vendor.links[1].close()
            await until(lambda: len(ears.lost()) == 2)
            socket.reconnect()
            await until(lambda: ears.ups == 3)
    assert ears.lost()[0] == "closed by us"


async def test_a_link_that_was_stable_is_made_anew_at_once_and_another_is_not() -> None:
    ears = Ears()
    async with listening() as vendor:
        socket = feed(ears, url(vendor), reconnect_min=60, reconnect_max=60, stable_seconds=0.05)
        async with serving(socket.run):
            await until(lambda: len(vendor.frames) >= 3)
            await vendor.links[0].close()
            await until(lambda: ears.ups == 2)


async def test_time_spent_dialling_makes_no_link_stable() -> None:
    ears = Ears()

    async def deaf(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(deaf) as vendor:
        socket = feed(ears, url(vendor), connect_timeout=0.2, stable_seconds=0.05, reconnect_min=60, reconnect_max=60)
        async with serving(socket.run):
            await until(lambda: ears.lost() == ["no socket within 0.2 s"])
            await until(lambda: socket._hurry._event.statistics().tasks_waiting == 1)
            socket.reconnect()
            await until(lambda: len(ears.lost()) == 2)
        assert vendor.connections == 2


async def test_an_event_that_cannot_be_taken_costs_no_connection() -> None:
    ears = Ears()

    async def breaks(name: str, data: Any, raw: Any) -> None:
        await ears.on_event(name, data, raw)
        if len(ears.events) == 1:
            raise TypeError("a reading that broke")

    async with listening() as vendor, serving(feed(ears, url(vendor), on_event=breaks).run):
        await until(lambda: vendor.links)
        for number in ("1", "2"):
            await vendor.links[0].send(json.dumps({"emit": ["order_updated", {"id": number}]}))
        await until(lambda: len(ears.events) == 2)
    assert (len(vendor.links), ears.lost()) == (1, [])


async def test_an_event_has_a_bound_and_a_large_one_is_read_beside_the_loop() -> None:
    ears = Ears()
    async with listening() as vendor, serving(feed(ears, url(vendor)).run):
        await until(lambda: vendor.links)
        large = {"emit": ["order_updated", {"id": "1", "notes": "x" * (MOST_BYTES - 100)}]}
        await vendor.links[0].send(json.dumps(large))
        await until(lambda: ears.events)
        large["emit"][1]["notes"] = "x" * MOST_BYTES  # type: ignore[index]
        await vendor.links[0].send(json.dumps(large))
        await until(lambda: ears.ups == 2)
    assert len(ears.events) == 1


async def test_a_plain_address_of_an_end_that_speaks_tls_is_told_in_words() -> None:
    ears = Ears()
    async with listening(tls(trustme.CA())) as vendor, serving(feed(ears, url(vendor)).run):
        await until(ears.lost)
    assert "wss://" in (ears.lost()[0] or "")


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_a_socket_that_is_refused(status: int) -> None:
    ears = Ears()
    async with listening() as vendor:
        vendor.refuse = status
        async with serving(feed(ears, url(vendor), refused_retry=0.05).run):
            await until(lambda: len(ears.lost()) >= 2)
            vendor.refuse = None
            await until(lambda: ears.ups)
    state = "down" if status == 503 else "refused"
    assert ears.changes[0] == (state, f"the socket was refused with HTTP {status}")


@pytest.mark.parametrize("how", [401, 403, 1008])
async def test_a_socket_that_does_not_want_us_is_tried_again_slowly(how: int) -> None:
    ears = Ears()
    async with listening() as vendor:
        vendor.refuse = how if how != 1008 else None
        socket = feed(ears, url(vendor), refused_retry=3_600)
        async with serving(socket.run):
            if how == 1008:
                await until(lambda: vendor.links)
                await vendor.links[0].close(1008, "no")
            await until(ears.lost)
            await asyncio.sleep(0.4)  # the back-off would have dialled several times
            assert (len(vendor.paths), ears.changes[-1][0]) == (1, "refused")
            vendor.refuse = None
            socket.reconnect()
            await until(lambda: ears.changes[-1][0] == "up")


@pytest.mark.parametrize(
    "said",
    [
        b"junk\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"",
    ],
    ids=["junk", "elsewhere", "nowhere", "in a circle", "half", "nothing"],
)
async def test_whatever_answers_instead_of_a_socket_the_feed_goes_on(said: bytes) -> None:
    async def handle(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(said)
        if not said:
            reset(writer)

    ears = Ears()
    async with peer(handle) as vendor, serving(feed(ears, url(vendor)).run):
        await until(lambda: len(ears.lost()) >= 2)
        assert vendor.connections <= len(ears.lost()) + 1, "no redirect was followed"
    assert ears.ups == 0
    assert (ears.lost()[0] or "").startswith(("no socket", "the socket was refused"))


async def test_an_address_where_nobody_is() -> None:
    ears = Ears()
    async with serving(feed(ears, "ws://127.0.0.1:1/").run):
        await until(lambda: len(ears.lost()) >= 2)
    assert (ears.lost()[0] or "").startswith("no socket: ConnectionRefusedError: Connect call failed")


async def test_a_socket_over_tls_is_verified(tmp_path: Path) -> None:
    authority, ears = trustme.CA(), Ears()
    ca_file = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca_file)
    async with listening(tls(authority)) as vendor:
        address = url(vendor).replace("ws:", "wss:")
        async with serving(feed(ears, address).run):
            await until(ears.lost)
        assert (ears.lost()[0] or "").startswith("no socket: TLS certificate not accepted: ")
        assert vendor.paths == []
        async with serving(feed(ears, address, ca_file=ca_file).run):
            await until(lambda: ears.ups)
        [(host, certificate)] = ears.seen
        assert host == "127.0.0.1"
        assert certificate is not None
        async with serving(feed(ears, address, ca_file=str(tmp_path / "none")).run):
            await until(lambda: "none: cannot be used (No such file" in (ears.lost()[-1] or ""))


async def test_a_vendor_that_takes_no_more_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears()
    async with listening() as vendor, serving(feed(ears, url(vendor), ping_timeout=0.1).run):
        await until(lambda: vendor.links)

        async def stuck(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr("websockets.asyncio.client.ClientConnection.send", stuck)
        await until(lambda: "connection lost" in ears.lost())
        monkeypatch.undo()
        await until(lambda: len(vendor.links) >= 2)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with peer(handle) as proxy, listening() as vendor:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "ws_proxy", "socks_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        async with serving(feed(Ears(), url(vendor)).run):
            await until(lambda: vendor.frames)
        assert proxy.connections == 0
