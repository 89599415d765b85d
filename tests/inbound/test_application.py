"""The HTTP door: bounds for all, health, metrics, and websockets for vendors that call us."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from ordernpay.config import Inbound
from ordernpay.inbound import application as module
from ordernpay.inbound.application import FAILURES_ALLOWED, FailureLimit, HttpDoor
from ordernpay.vendors.protocol import Door, HttpAnswer, HttpRequest, Link, LinkClosed, WebsocketDoor
from tests.inbound.serving import Houses, listening, metrics
from tests.inbound.serving import door_of as door_with
from tests.support.fakes import ScriptedSession
from tests.support.wait import until

PATH = "/api/powerepos/v1/auth"
REFUSAL = HttpAnswer(401, {"ErrorMessage": "no"})


def desk(knows: bytes, answer: HttpAnswer, **bounds: Any) -> Door:
    async def handle(request: HttpRequest) -> HttpAnswer | None:
        return answer if request.body == knows else None

    return Door(PATH, handle, REFUSAL, **bounds)


def door_of(*offered: Door | WebsocketDoor, **states: Any) -> tuple[HttpDoor, Houses]:
    houses = Houses({"bar": ScriptedSession(offered=offered)})
    for name, state in states.items():
        houses.sessions[name] = ScriptedSession(name, state=state)
    return HttpDoor(Inbound(port=0), houses, metrics), houses


@contextlib.asynccontextmanager
async def client_of(door: HttpDoor) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=door.answer, client=("10.0.0.9", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        yield client


async def test_health_readiness_and_metrics() -> None:
    door, houses = door_of(terrace="up")
    async with client_of(door) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/metrics")
        assert (answer.content, answer.headers["content-type"]) == (b"ordernpay_up 1\n", module.PROMETHEUS)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (200, "bar up\nterrace up\n")
        houses.sessions["terrace"].state = "down"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "bar up\nterrace down\n")
        houses.sessions["terrace"].state, houses.trouble = "up", "disk full"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text.splitlines()[-1]) == (503, "no command can be taken: disk full")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/webhooks/ros/bar", PATH + "/", PATH + "//x"])
async def test_a_path_that_nobody_offers_is_not_there(path: str) -> None:
    door, houses = door_of(desk(b"good", HttpAnswer(200), webhook=True))
    async with client_of(door) as client:
        answer = await client.post(path, content=b"good")
        assert (answer.status_code, answer.json()) == (404, {"error": "no such path"})
        assert houses.counts.webhooks == {}  # strangers' paths do not fill the memory


async def test_other_methods_are_not_allowed() -> None:
    door, _ = door_of(desk(b"good", HttpAnswer(200)))
    async with client_of(door) as client:
        assert (await client.get(PATH)).status_code == 405
        assert (await client.post("/metrics")).status_code in {404, 405}
        assert (await client.delete("/healthz")).status_code == 405


async def test_of_several_sessions_the_one_that_knows_the_caller_answers() -> None:
    door, houses = door_of(desk(b"one", HttpAnswer(200, {"who": "bar"})))
    houses.sessions["terrace"] = ScriptedSession(
        "terrace", offered=(desk(b"two", HttpAnswer(200, {"who": "terrace"}, {"X-Told": "yes"})),)
    )
    async with client_of(door) as client:
        assert (await client.post(PATH, content=b"one")).json() == {"who": "bar"}
        answer = await client.post(PATH, content=b"two")
        assert (answer.json(), answer.headers["x-told"]) == ({"who": "terrace"}, "yes")
        assert answer.headers["content-type"] == "application/json"
        assert (await client.post(PATH, content=b"three")).status_code == 401
        assert houses.counts.webhooks == {}  # to prove oneself is no webhook


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (HttpAnswer(200), "accepted"),
        (HttpAnswer(200, result="repeat"), "repeat"),
        (HttpAnswer(200, result="verified"), "verified"),
        (HttpAnswer(400), "malformed"),
        (HttpAnswer(503), "unavailable"),
    ],
)
async def test_webhooks_are_counted_by_what_became_of_them(answer: HttpAnswer, result: str) -> None:
    door, houses = door_of(desk(b"good", answer, webhook=True, patient=True, max_body_bytes=10))
    async with client_of(door) as client:
        await client.post(PATH, content=b"good")
        await client.post(PATH, content=b"forged")
        await client.post(PATH, content=b"x" * 11)
        assert houses.counts.webhooks == {("bar", result): 1, ("bar", "refused"): 1, ("bar", "too_large"): 1}
        assert {what for _, what in houses.counts.webhooks} <= set(module.WEBHOOK_RESULTS)


async def test_a_body_is_read_up_to_its_limit() -> None:
    door, _ = door_of(desk(b"x" * 100, HttpAnswer(200), max_body_bytes=100))

    async def in_pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 10

    async with client_of(door) as client:
        assert (await client.post(PATH, content=b"x" * 100)).status_code == 200
        assert (await client.post(PATH, content=in_pieces(10))).status_code == 200
        for content in (b"x" * 101, in_pieces(11)):
            answer = await client.post(PATH, content=content)
            assert (answer.status_code, answer.json()) == (413, {"error": "body too large"})


async def test_who_fails_too_often_is_told_to_wait_and_who_proves_itself_is_heard_all_the_same() -> None:
    door, _ = door_of(desk(b"good", HttpAnswer(200)))
    async with client_of(door) as client:
        with capture_logs() as logs:
            for _ in range(FAILURES_ALLOWED):
                assert (await client.post(PATH, content=b"bad")).status_code == 401
            answer = await client.post(PATH, content=b"bad")
        assert [(entry["event"], entry["peer"]) for entry in logs] == [
            ("authentication_failed", "10.0.0.9")
        ] * FAILURES_ALLOWED
        assert (answer.status_code, answer.json()) == (429, {"error": "too many failures"})
        assert 0 < int(answer.headers["retry-after"]) <= 61
        assert (await client.post(PATH, content=b"good")).status_code == 200  # a neighbour behind the same address
        assert (await client.get("/healthz")).status_code == 200
    transport = httpx.ASGITransport(app=door.answer, client=("10.0.0.8", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as other:
        assert (await other.post(PATH, content=b"bad")).status_code == 401


def test_failures_are_counted_by_peer_over_a_window() -> None:
    limit = FailureLimit(allowed=3, window=60.0)
    assert [limit.failed("a", at) for at in (0.0, 10.0, 20.0)] == [0, 0, 0]
    assert limit.failed("a", 20.0) == 41
    assert limit.failed("a", 59.9) == 1
    assert limit.failed("b", 20.0) == 0
    assert limit.failed("a", 60.0) == 0
    assert limit.failed("a", 61.0) > 0


def test_only_so_many_peers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEERS_REMEMBERED", 2)
    limit = FailureLimit(allowed=1)
    for peer in ("a", "b", "c"):
        limit.failed(peer, 0.0)
    assert [limit.failed(peer, 0.0) > 0 for peer in ("c", "b", "a")] == [True, True, False]


async def test_of_many_sessions_at_one_path_the_one_that_is_named_is_asked_and_no_other() -> None:
    asked: list[bytes] = []

    def desk_of(key: bytes) -> Door:
        async def handle(request: HttpRequest) -> HttpAnswer | None:
            asked.append(key)
            return HttpAnswer(200, {"key": key.decode()}) if request.body == key + b" good" else None

        return Door(PATH, handle, REFUSAL, key=key, find=lambda request: request.body.split(b" ")[0])

    keys = [b"%d" % number for number in range(100)]
    door, _ = door_of(*map(desk_of, keys))
    async with client_of(door) as client:
        assert (await client.post(PATH, content=b"77 good")).json() == {"key": "77"}
        assert asked == [b"77"]
        assert (await client.post(PATH, content=b"77 bad")).status_code == 401
        assert (await client.post(PATH, content=b"nobody good")).status_code == 401
    assert len(asked) == 3  # a name that nobody has costs the same look as one that exists


# Websockets, over a real server


def websocket_door(serve: Callable[[Link], Any], token: str = "good") -> WebsocketDoor:
    return WebsocketDoor("/ws", lambda request: serve if request.query.get("token") == token else None)


def serving(*offered: Door | WebsocketDoor, **settings: Any) -> contextlib.AbstractAsyncContextManager[str]:
    return listening(door_with(*offered, **settings))


def dial(address: str, token: str = "good", path: str = "/ws") -> connect:
    return connect(f"ws://{address}{path}?token={token}", compression=None, proxy=None)


class Talk:
    """What the session behind a websocket does and sees."""

    def __init__(self) -> None:
        self.seen: list[str | bytes] = []
        self.closed: LinkClosed | None = None

    async def __call__(self, link: Link) -> None:
        await link.probe()
        try:
            while True:
                message = await link.receive()
                self.seen.append(message)
                if message == "bye":
                    await link.close(1000, "bye")
                    return
                await link.send(f"heard {len(message)}")
        except LinkClosed as closed:
            self.closed = closed
            with contextlib.suppress(LinkClosed):
                await link.send("into the void")
            await link.close(1000, "late")


async def test_text_and_bytes_go_both_ways_and_we_may_close() -> None:
    talk = Talk()
    async with serving(websocket_door(talk)) as address, dial(address) as socket:
        for message in ("hello", b"\x00\x01", ""):
            await socket.send(message)
            assert await socket.recv() == f"heard {len(message)}"
        await socket.send("bye")
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1000, "bye")
    assert talk.seen == ["hello", b"\x00\x01", "", "bye"]


@pytest.mark.parametrize(("code", "told"), [(1000, 1000), (1009, 1009), (4001, 4001), (None, None)])
async def test_how_the_peer_closed_is_told(code: int | None, told: int | None) -> None:
    talk = Talk()
    async with serving(websocket_door(talk)) as address:
        async with dial(address) as socket:
            if code is None:
                socket.transport.abort()
            else:
                await socket.close(code)
        await until(lambda: talk.closed is not None)
        assert talk.closed is not None
        assert talk.closed.code == told


@pytest.mark.parametrize(("token", "path"), [("bad", "/ws"), ("", "/ws"), ("good", "/other")])
async def test_who_cannot_prove_itself_gets_no_websocket(token: str, path: str) -> None:
    async with serving(websocket_door(Talk())) as address:
        with pytest.raises(InvalidStatus) as caught:
            async with dial(address, token, path):
                pass
        assert caught.value.response.status_code == 403


async def test_who_guesses_tokens_is_told_to_wait_and_a_right_one_is_taken_all_the_same() -> None:
    async with serving(websocket_door(Talk()), desk(b"good", HttpAnswer(200))) as address:
        statuses = []
        for guess in range(FAILURES_ALLOWED + 1):
            with pytest.raises(InvalidStatus) as refused:
                async with dial(address, f"guess{guess}"):
                    pass
            statuses.append(refused.value.response.status_code)
        assert statuses == [403] * FAILURES_ALLOWED + [429]
        async with dial(address, "good"), httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(f"http://{address}{PATH}", content=b"bad")).status_code == 401  # counted apart


@pytest.mark.parametrize("offered", [[], ["one"], ["one", "two"]])
async def test_a_subprotocol_that_is_offered_is_taken(offered: list[str]) -> None:
    async with (
        serving(websocket_door(Talk())) as address,
        connect(
            f"ws://{address}/ws?token=good", proxy=None, subprotocols=[*map(Subprotocol, offered)] or None
        ) as socket,
    ):
        assert socket.subprotocol == (offered[0] if offered else None)


async def closed_with(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as caught:
        await socket.recv()
    return caught.value.rcvd.code if caught.value.rcvd else None


async def test_a_message_over_the_limit_closes_its_connection_and_accuses_nobody_of_it() -> None:
    talk = Talk()
    async with serving(websocket_door(talk), max_message_bytes=1024) as address:
        async with dial(address) as socket:
            await socket.send("x" * 1024)
            assert await socket.recv() == "heard 1024"
            await socket.send("x" * 1025)
            assert await closed_with(socket) == 1009
        await until(lambda: talk.closed is not None)
        assert talk.closed is not None
        assert talk.closed.code is None  # our own 1009: not the peer's word that it did not act


async def test_compression_is_not_spoken() -> None:
    async with (
        serving(websocket_door(Talk())) as address,
        connect(f"ws://{address}/ws?token=good", proxy=None) as socket,
    ):
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def test_a_silent_peer_is_found_by_the_servers_pings() -> None:
    talk = Talk()
    quick = serving(websocket_door(talk), ping_interval=0.1, ping_timeout=0.1)
    async with quick as address, dial(address) as socket:
        socket.transport.pause_reading()
        await until(lambda: talk.closed is not None)
        socket.transport.abort()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    door = HttpDoor(Inbound(host=host, port=0), Houses(), metrics)
    with door.bind() as sock, socket.create_connection(sock.getsockname()[:2]):
        sock.setblocking(True)
        connection, _ = sock.accept()
        with connection:
            assert connection.proto == socket.IPPROTO_TCP  # by which asyncio knows that TCP_NODELAY makes sense
        with pytest.raises(OSError, match="in use"):
            HttpDoor(Inbound(host=host, port=sock.getsockname()[1]), Houses(), metrics).bind()
