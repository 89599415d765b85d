"""The App hears of what happened: by socket, by webhook, in every envelope; and so do those who pretend to be Doshii."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from ordernpay.simulator.doshii import DoshiiSimulator, Envelope, Heartbeat, Hook, SocketFault, serve
from tests.simulator.doshii_app import Inbox, calling, listening, receiving

DATA = {"id": "90217", "status": "accepted"}
WRAPPED: list[tuple[Envelope, Any]] = [
    (Envelope.EVENT, {"event": "order_updated", "data": DATA}),
    (Envelope.TYPE, {"type": "order_updated", "data": DATA}),
    (Envelope.EMIT, {"emit": ["order_updated", DATA]}),
]


@pytest.fixture
async def simulator() -> AsyncIterator[DoshiiSimulator]:
    async with serve(gaps=(0.01, 0.01, 0.01)) as simulator:
        yield simulator


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with receiving() as inbox:
        yield inbox


def now() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize(("envelope", "wrapped"), WRAPPED)
async def test_every_envelope_on_both_ways(
    simulator: DoshiiSimulator, inbox: Inbox, envelope: Envelope, wrapped: Any
) -> None:
    simulator.events.socket_envelope = simulator.events.webhook_envelope = envelope
    await simulator.webhooks.register(inbox.url)
    async with listening(simulator) as socket:
        await socket.ping()
        await simulator.emit("order_updated", DATA)
        assert await socket.hear() == wrapped
        assert await inbox.next() == wrapped


async def test_an_event_may_be_unknown_repeated_and_lost(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as socket:
        await socket.ping()
        simulator.events.copies = 2
        await simulator.emit("moon_rose", {})
        assert await socket.hear() == await socket.hear() == {"event": "moon_rose", "data": {}}
        simulator.events.lost = True
        await simulator.emit("moon_set", {})
        simulator.events.lost = False
        await simulator.emit("moon_rose", {})
        assert (await socket.hear())["event"] == "moon_rose"
    assert [event for event, _ in simulator.events.told] == ["moon_rose", "moon_set", "moon_rose"]


async def test_an_order_is_told_on_the_socket(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as socket, calling(simulator) as caller:
        await socket.ping()
        made = await caller.create()
        created, updated = await socket.hear(), await socket.hear()
        assert created["event"] == "order_created"
        uri = f"{simulator.base_url}/orders/{made['id']}"
        assert updated["data"] == {"id": made["id"], "locationId": "2xYdsw233", "status": "accepted", "uri": uri}
        simulator.events.order_fields = ("id", "status")
        await simulator.pos.cancel(made["id"])
        assert (await socket.hear())["data"] == {"id": made["id"], "status": "venue_cancelled"}


async def test_a_ping_is_answered_with_its_number(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as socket:
        first, later = now(), now() + 1
        assert await socket.ping(first) == {"doshii": {"pong": first, "version": "3.9.1"}}
        simulator.sockets.wrapped_pong = True
        pong = {"type": "message", "data": {"doshii": {"pong": later, "version": "3.9.1"}}}
        assert await socket.ping(later) == pong
    assert simulator.sockets.pings == [first, later]
    assert simulator.sockets.faults == [SocketFault.PING_TOO_SOON]


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        ({"doshii": {"ping": "now", "version": "1"}}, SocketFault.FRAME_WRONG),
        ({"doshii": {"ping": 1.5, "version": "1"}}, SocketFault.FRAME_WRONG),
        ({"doshii": {"ping": True, "version": "1"}}, SocketFault.FRAME_WRONG),
        ({"doshii": {"ping": 1767225600123}}, SocketFault.FRAME_WRONG),
        ({"doshii": {"ping": 1767225600123, "version": ""}}, SocketFault.FRAME_WRONG),
        ({"ping": 1767225600123, "version": "1"}, SocketFault.FRAME_WRONG),
        ("primus::ping::1767225600123", SocketFault.FRAME_WRONG),
        (b"\x00", SocketFault.FRAME_WRONG),
        ([], SocketFault.FRAME_WRONG),
        ({"doshii": {"ping": 7, "version": "1"}}, SocketFault.PING_WRONG),
        ("seconds", SocketFault.PING_IN_SECONDS),
    ],
)
async def test_a_wrong_frame_is_counted_and_not_answered(
    simulator: DoshiiSimulator, frame: Any, fault: SocketFault
) -> None:
    async with listening(simulator) as socket:
        said = {"doshii": {"ping": int(time.time()), "version": "1"}} if frame == "seconds" else frame
        await socket.say(said)
        number = now()
        assert (await socket.ping(number))["doshii"]["pong"] == number
    assert simulator.sockets.faults == [fault]


async def test_no_event_comes_before_the_first_ping(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as socket:
        await simulator.emit("order_updated", {"id": "1"})
        assert "doshii" in await socket.ping()
        await simulator.emit("order_updated", {"id": "2"})
        assert (await socket.hear())["data"] == {"id": "2"}


async def test_missed_events_may_be_kept(simulator: DoshiiSimulator) -> None:
    simulator.sockets.keeps_missed = True
    await simulator.emit("order_updated", {"id": "1"})
    async with listening(simulator) as socket:
        assert "doshii" in await socket.ping()
        assert (await socket.hear())["data"] == {"id": "1"}


async def test_whoever_does_not_ping_at_once_is_closed(simulator: DoshiiSimulator) -> None:
    simulator.sockets.heartbeat = Heartbeat(first=0.05)
    async with listening(simulator) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert simulator.sockets.faults == [SocketFault.NO_FIRST_PING]


async def test_whoever_stops_pinging_is_closed(simulator: DoshiiSimulator) -> None:
    simulator.sockets.heartbeat = Heartbeat(every=0.05, grace=0.05, least=0.0)
    async with listening(simulator) as socket:
        await socket.ping()
        await socket.say("this is no ping, and does not count as one")
        with pytest.raises(ConnectionClosed):
            await socket.hear()
    assert simulator.sockets.faults == [SocketFault.FRAME_WRONG, SocketFault.PING_MISSED]


async def test_a_missed_ping_may_be_counted_alone(simulator: DoshiiSimulator) -> None:
    simulator.sockets.heartbeat = Heartbeat(first=0.0, closes=False)
    async with listening(simulator) as socket:
        assert "doshii" in await socket.ping()
    assert simulator.sockets.faults == [SocketFault.NO_FIRST_PING]


async def test_doshii_pings_too(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as socket:
        await socket.ping()
        number = await simulator.sockets.ping()
        assert (await socket.hear())["doshii"]["ping"] == number
        await socket.say({"doshii": {"pong": number, "version": "1.0.0"}})
        await socket.ping()
    assert simulator.sockets.pongs == [number]


async def test_a_silent_socket_stays_open_and_others_talk(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as silent:
        await silent.ping()
        simulator.sockets.silence()
        await silent.say({"doshii": {"ping": now(), "version": "1.0.0"}})
        async with listening(simulator) as other:
            await other.ping()
            await simulator.emit("order_updated", DATA)
            assert (await other.hear())["data"] == DATA
        simulator.sockets.mute = True
        async with listening(simulator) as mute:
            await mute.say({"doshii": {"ping": now(), "version": "1.0.0"}})
            await mute.connection.ping()
        await asyncio.wait_for(await silent.connection.ping(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(silent.connection.recv(), 0.05)


async def test_sockets_are_cut_and_closed(simulator: DoshiiSimulator) -> None:
    async with listening(simulator) as socket:
        await socket.ping()
        assert simulator.sockets.ready.is_set()
        simulator.sockets.drop()
        with pytest.raises(ConnectionClosedError) as cut:
            await socket.hear()
        assert cut.value.rcvd is None
    async with listening(simulator) as socket:
        await socket.ping()
        await simulator.sockets.close(1012)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert simulator.sockets.accepted == 2


@pytest.mark.parametrize(
    "auth", ["", "app-client-7731", base64.b64encode(b"app-client-7731:not-a-real-secret").decode()]
)
async def test_a_socket_is_opened_with_the_client_id_alone(simulator: DoshiiSimulator, auth: str) -> None:
    with pytest.raises(InvalidStatus) as no:
        async with listening(simulator, auth):
            pass
    assert no.value.response.status_code == 401
    assert simulator.sockets.turned_away == 1


async def test_sockets_may_be_refused(simulator: DoshiiSimulator) -> None:
    simulator.sockets.refuses = True
    with pytest.raises(InvalidStatus):
        async with listening(simulator):
            pass


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_webhook_is_verified_first(simulator: DoshiiSimulator, inbox: Inbox, method: str) -> None:
    simulator.webhooks.verify_method = method
    assert await simulator.webhooks.register(inbox.url, "key", "token")
    assert inbox.verified == [method]
    inbox.verifies = False
    assert not await simulator.webhooks.register(inbox.url)
    assert not await simulator.webhooks.register("http://127.0.0.1:1/hook")
    assert len(simulator.webhooks.hooks) == 1


async def test_a_delivery_proves_where_it_comes_from(simulator: DoshiiSimulator, inbox: Inbox) -> None:
    basic = "Basic " + base64.b64encode(b"key:token").decode()
    simulator.webhooks.hooks = [Hook(inbox.url, "key", "token"), Hook(inbox.url, None, "token"), Hook(inbox.url)]
    await simulator.emit("order_updated", DATA)
    await simulator.settled()
    assert set(inbox.authorizations) == {basic, "Bearer token", None}


async def test_a_delivery_is_tried_until_it_is_taken(simulator: DoshiiSimulator, inbox: Inbox) -> None:
    simulator.webhooks.hooks = [Hook(inbox.url, events=frozenset({"order_updated"}))]
    inbox.answers = [500, 302, 204]
    await simulator.emit("order_updated", DATA)
    await simulator.emit("menu_updated", {})
    await simulator.settled()
    assert [(one.attempt, one.status, one.taken) for one in simulator.webhooks.deliveries] == [
        (1, 500, False),
        (2, 302, False),
        (3, 204, True),
    ]
    assert len(set(inbox.bodies)) == 1


async def test_a_delivery_is_given_up(simulator: DoshiiSimulator, inbox: Inbox) -> None:
    simulator.webhooks.hooks = [Hook(inbox.url)]
    inbox.answers = [503] * 9
    await simulator.emit("order_updated", DATA)
    await simulator.settled()
    assert len(inbox.bodies) == 4
    assert simulator.webhooks.given_up == ["order_updated"]


async def test_the_first_try_may_come_before_the_answer(simulator: DoshiiSimulator, inbox: Inbox) -> None:
    simulator.pos.before_answer, simulator.pos.lead = True, 0.0
    simulator.webhooks.hooks = [Hook(inbox.url)]
    async with calling(simulator) as caller:
        await caller.create()
        assert len(inbox.bodies) == 2


async def test_what_a_forger_posts(simulator: DoshiiSimulator, inbox: Inbox) -> None:
    simulator.webhooks.hooks = [Hook(inbox.url, "key", "token")]
    await simulator.emit("order_updated", DATA)
    await simulator.settled()
    forger = simulator.forger()
    assert await forger.replayed() == 200
    assert await forger.unsigned() == 200
    assert await forger.forged(token="guess") == 200
    assert await forger.with_authorization("Bearer token") == 200
    assert await forger.oversize(100_000) == 200
    assert await forger.junk() == 200
    first, again, *_, huge, junk = inbox.bodies
    assert first == again
    assert len(huge) == 100_000
    json.loads(huge)
    assert junk == b"\xff\x00{not json"
    good, same, none, wrong, *_ = inbox.authorizations
    assert (same, none) == (good, None)
    assert wrong not in {good, None}


async def test_a_flood(simulator: DoshiiSimulator, inbox: Inbox) -> None:
    simulator.webhooks.hooks = [Hook(inbox.url)]
    assert await simulator.forger().flood(rate=200, seconds=0.2) == {200: 40}
    assert len({json.loads(body)["data"]["id"] for body in inbox.bodies}) == 40


async def test_a_forger_may_get_no_answer(simulator: DoshiiSimulator) -> None:
    assert await simulator.forger(Hook("http://127.0.0.1:1/hook")).junk() is None
