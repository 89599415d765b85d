"""What a kiosk may rely on: typed errors, no call left hanging, events without gap or repeat."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from ordernpay.client import (
    FAILURES,
    Client,
    ConnectionLost,
    InvalidParams,
    MethodNotFound,
    NoDaemon,
    NotPermitted,
    OutcomeUnknown,
    Overloaded,
    RpcFailure,
    TooLarge,
    TooSlow,
    connect,
    connection,
    default_socket,
    follow,
    following,
)
from ordernpay.jsontext import JsonError, JsonObject
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.jsonrpc import RpcError
from ordernpay.rpc.server import Client as Peer
from ordernpay.rpc.server import Limits, Reply, Server
from ordernpay.rpc.sockets import listen_unix


class Daemon:
    """As much of a daemon as a client can tell apart: a journal of events, and answers of each kind."""

    def __init__(self, journal: str = "one", events: int = 0) -> None:
        self.journal = journal
        self.events: list[JsonObject] = []
        self.gate = anyio.Event()
        self.calls: list[str] = []
        self.peers: list[Peer] = []
        self._added = anyio.Event()
        for _ in range(events):
            self.publish()

    def publish(self, session: str = "bar") -> None:
        self.events.append({"seq": len(self.events) + 1, "session": session, "kind": "k", "journal": self.journal})
        self._added.set()
        self._added = anyio.Event()

    async def call(self, client: Peer, method: str, params: jsonrpc.Params) -> Reply:
        self.calls.append(method)
        self.peers.append(client)
        assert params is None or isinstance(params, dict)
        match method, params:
            case "echo", dict():
                return Reply(params)
            case "wait", _:
                await self.gate.wait()
                return Reply({"waited": True})
            case "fail", {"code": int(code)}:
                raise RpcError(
                    code, "It failed", {**jsonrpc.error_data("some_kind"), "state": "unknown", **(params or {})}
                )
            case "list", _:
                return Reply([1])
            case "hang_up", _:
                client.cut_off("slow")
            case "event.subscribe", dict():
                return self.subscribe(client, params)
            case "event.unsubscribe", _:
                return Reply({})
        raise jsonrpc.method_not_found(method)

    def subscribe(self, client: Peer, params: JsonObject) -> Reply:
        since, sessions = params.get("since", len(self.events)), params.get("sessions")
        assert isinstance(since, int)
        if sessions == ["nowhere"]:
            raise RpcError(-32007, "No such session", jsonrpc.error_data("unknown_session"))

        async def pump() -> None:
            position = since
            while True:
                for event in self.events[position:]:
                    position += 1
                    if sessions is None or (isinstance(sessions, list) and event["session"] in sessions):
                        await client.notify("event", {"subscription": 7, "event": event})
                await self._added.wait()

        return Reply({"subscription": 7, "last_seq": len(self.events), "journal": self.journal}, pump)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "daemon.sock"


@asynccontextmanager
async def running(path: Path, daemon: Daemon, limits: Limits | None = None) -> AsyncIterator[Server]:
    server = Server(daemon, limits)
    with listen_unix(path) as bound:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, bound.socket)
            with anyio.fail_after(30):
                yield server
            group.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other tasks have no event for what a test waits for
        await anyio.sleep(0.001)


def numbers(events: Sequence[JsonObject]) -> list[object]:
    return [event["seq"] for event in events]


async def test_a_call_gives_its_result(path: Path) -> None:
    async with running(path, Daemon()), connect(path) as client:
        assert await client.call("echo", {"a": "é"}) == {"a": "é"}


async def test_calls_side_by_side_get_their_own_answers(path: Path) -> None:
    daemon = Daemon()
    results: dict[int, JsonObject] = {}

    async def one(client: Client, number: int) -> None:
        results[number] = await client.call("echo", {"n": number})

    async with running(path, daemon), connect(path) as client, anyio.create_task_group() as group:
        group.start_soon(client.call, "wait")
        for number in range(100):
            group.start_soon(one, client, number)
        await until(lambda: len(results) == 100)
        daemon.gate.set()
    assert results == {number: {"n": number} for number in range(100)}


@pytest.mark.parametrize(("code", "kind"), [*FAILURES.items(), (4242, RpcFailure), (-32603, RpcFailure)])
async def test_each_error_has_its_type(path: Path, code: int, kind: type[RpcFailure]) -> None:
    async with running(path, Daemon()), connect(path) as client:
        with pytest.raises(RpcFailure) as caught:
            await client.call("fail", {"code": code, "command_id": "c1", "retryable": True, "vendor_message": "no"})
    failure = caught.value
    assert type(failure) is kind
    assert (failure.code, failure.message, failure.kind) == (code, "It failed", "some_kind")
    assert (failure.state, failure.command_id, failure.retryable) == ("unknown", "c1", True)
    assert (failure.vendor_code, failure.vendor_message, failure.details) == (None, "no", None)
    assert str(failure) == f"It failed (some_kind, {code})"


async def test_an_error_leaves_the_block_as_itself_and_the_connection_is_not_hurt(path: Path) -> None:
    async def use() -> None:
        async with connect(path) as client:
            with pytest.raises(MethodNotFound):
                await client.call("nonsense")
            assert await client.call("echo", {}) == {}
            await client.call("fail", {"code": 1006})

    async with running(path, Daemon()):
        with pytest.raises(OutcomeUnknown):
            await use()


async def test_a_result_that_is_no_object_is_an_error(path: Path) -> None:
    async with running(path, Daemon()), connect(path) as client:
        with pytest.raises(RpcFailure, match="not an object"):
            await client.call("list")


async def test_what_the_daemon_could_not_read_is_not_sent(path: Path) -> None:
    daemon = Daemon()
    deep: JsonObject = {}
    for _ in range(80):
        deep = {"a": deep}
    async with running(path, daemon), connect(path) as client:
        endless: JsonObject = {"a": float("nan")}
        for params in (deep, endless):
            with pytest.raises(JsonError):
                await client.call("echo", params)
        assert await client.call("echo", {}) == {}
    assert daemon.calls == ["echo"]


@pytest.mark.parametrize("left", ["nothing", "socket", "file", "directory"])
async def test_without_a_daemon_the_path_is_named(path: Path, left: str) -> None:
    match left:
        case "socket":
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(str(path))
        case "file":
            os.mknod(path)
        case "directory":
            path = path / "missing" / "daemon.sock"
    with pytest.raises(NoDaemon, match=str(path)):
        async with connect(path):
            pass


async def test_who_may_not_open_the_socket_is_told_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(anyio, "connect_unix", refuse)
    with pytest.raises(NotPermitted, match=f"user {os.geteuid()} may not open {path}"):
        async with connect(path):
            pass


def test_the_socket_is_named_by_the_environment() -> None:
    assert default_socket({}) == Path("/run/ordernpay/ordernpay.sock")
    assert default_socket({"ORDERNPAY_SOCKET": "/tmp/x.sock"}) == Path("/tmp/x.sock")


async def test_a_lost_connection_leaves_no_call_hanging(path: Path) -> None:
    daemon = Daemon()
    errors: list[ConnectionLost] = []

    async def wait(client: Client) -> None:
        try:
            await client.call("wait")
        except ConnectionLost as error:
            errors.append(error)

    async with running(path, daemon), connect(path) as client:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait, client)
            await until(lambda: len(daemon.calls) == 3)
            daemon.peers[0].cut_off("slow")
        assert [(str(error), error.sent) for error in errors] == [("the daemon closed the connection: slow", True)] * 3
        with pytest.raises(ConnectionLost) as caught:
            await client.call("echo", {})
        assert not caught.value.sent


async def test_a_daemon_that_vanishes_is_a_lost_connection(path: Path) -> None:
    with listen_unix(path) as bound:
        async with connect(path) as client, anyio.create_task_group() as group:
            accepted, _ = bound.socket.accept()

            async def lose() -> None:
                await anyio.wait_readable(accepted)
                accepted.close()

            group.start_soon(lose)
            with pytest.raises(ConnectionLost, match="closed the connection"):
                await client.call("wait")


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"jsonrpc":"2.0","id":1}\n', b"[]\n"])
async def test_a_daemon_that_talks_nonsense_is_a_lost_connection(path: Path, line: bytes) -> None:
    with listen_unix(path) as bound:
        async with connect(path) as client:
            accepted, _ = bound.socket.accept()
            with accepted:
                accepted.send(line)
                with pytest.raises(ConnectionLost, match="cannot be understood"):
                    await client.call("wait")


async def test_answers_that_nobody_waits_for_are_passed_over(path: Path) -> None:
    with listen_unix(path) as bound:
        async with connect(path) as client:
            accepted, _ = bound.socket.accept()
            with accepted:
                accepted.send(jsonrpc.line_of(jsonrpc.success(99, {})))
                accepted.send(jsonrpc.line_of(jsonrpc.notification("hello", {})))
                accepted.send(jsonrpc.line_of(jsonrpc.notification("event", {"subscription": 9, "event": {}})))
                accepted.send(jsonrpc.line_of(jsonrpc.success(1, {"ok": True})))
                assert await client.call("echo") == {"ok": True}


async def test_a_client_too_many_is_told_that_nothing_was_done(path: Path) -> None:
    async with running(path, Daemon(), Limits(clients=1)), connect(path) as first:
        await first.call("echo", {})
        async with connect(path) as second:
            for _ in range(2):
                with pytest.raises(Overloaded) as caught:
                    await second.call("echo", {})
                assert caught.value.retryable


async def test_too_long_a_call_is_told_so(path: Path) -> None:
    async with running(path, Daemon(), Limits(message_bytes=1000)), connect(path) as client:
        with pytest.raises(TooLarge):
            await client.call("echo", {"filler": "x" * 5_000_000})


async def test_a_cancelled_call_tears_no_line(path: Path) -> None:
    daemon = Daemon()
    async with running(path, daemon), connect(path) as client:
        for _ in range(20):
            with anyio.move_on_after(0.001):
                await client.call("echo", {"filler": "x" * 900_000})
        assert await client.call("echo", {"a": 1}) == {"a": 1}


async def test_events_come_in_order_beside_calls(path: Path) -> None:
    daemon = Daemon(events=5)
    async with running(path, daemon), connect(path) as client:
        async with client.events(since=2) as events:
            assert (events.journal, events.last_seq, events.position) == ("one", 5, 2)
            seen: list[JsonObject] = []
            async for event in events:
                seen.append(event)
                assert await client.call("echo", {"seq": event["seq"]}) == {"seq": event["seq"]}
                daemon.publish()
                if len(seen) == 10:
                    break
            assert numbers(seen) == [*range(3, 13)]
            assert events.position == 12
        assert daemon.calls[-1] == "event.unsubscribe"


async def test_events_from_now_on_are_only_those(path: Path) -> None:
    daemon = Daemon(events=5)
    async with running(path, daemon), connect(path) as client, client.events(sessions=["bar"], kinds=["k"]) as events:
        assert events.position == 5
        daemon.publish("other")
        daemon.publish()
        assert (await anext(events))["seq"] == 7


async def test_a_refused_subscription_is_its_error(path: Path) -> None:
    async with running(path, Daemon()), connect(path) as client:
        with pytest.raises(RpcFailure, match="No such session"):
            async with client.events(sessions=["nowhere"]):
                pass


async def test_events_end_with_the_connection_after_what_had_come(path: Path) -> None:
    daemon = Daemon(events=3)
    async with running(path, daemon), connect(path) as client, client.events(since=0) as events:
        assert (await anext(events))["seq"] == 1
        await until(lambda: len(events._events) == 2)
        daemon.peers[0].cut_off("slow")
        await until(lambda: client._lost is not None)
        assert numbers([await anext(events), await anext(events)]) == [2, 3]
        with pytest.raises(ConnectionLost, match="slow"):
            await anext(events)


async def test_who_does_not_take_events_is_told_and_can_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_EVENTS_WAITING", 3)
    async with running(path, Daemon(events=10)), connect(path) as client:
        async with client.events(since=0) as events:
            await until(lambda: events._failure is not None)
            assert numbers([await anext(events) for _ in range(3)]) == [1, 2, 3]
            with pytest.raises(TooSlow):
                await anext(events)
        async with client.events(since=events.position) as events:
            assert (await anext(events))["seq"] == 4


async def take(path: Path, amount: int, since: int | None = None) -> list[JsonObject]:
    seen: list[JsonObject] = []
    async with aclosing(follow(path, since=since)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == amount:
                break
    return seen


async def test_following_survives_restarts_without_a_gap_or_a_repeat(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_LONGEST_PAUSE", 0.05)
    seen: list[JsonObject] = []

    async def watch() -> None:
        async with aclosing(follow(path, since=0)) as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - others look at the list as it grows

    daemon = Daemon()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            for _ in range(4):
                daemon.publish()
                async with running(path, daemon):
                    await until(lambda: len(seen) == len(daemon.events))
                    daemon.publish()
                    await until(lambda: len(seen) == len(daemon.events))
                    daemon.peers[-1].cut_off("slow")
                    daemon.publish()
                    await until(lambda: len(seen) == len(daemon.events))
            group.cancel_scope.cancel()
    assert numbers(seen) == [*range(1, 13)]


async def test_following_from_now_on_resumes_what_came_while_the_daemon_was_away(path: Path) -> None:
    daemon = Daemon(events=5)
    async with aclosing(follow(path)) as events:
        async with anyio.create_task_group() as group, running(path, daemon):
            group.start_soon(publish_once_subscribed, daemon)
            assert (await anext(events))["seq"] == 6
        daemon.publish()
        async with running(path, daemon):
            assert (await anext(events))["seq"] == 7


async def publish_once_subscribed(daemon: Daemon) -> None:
    await until(lambda: "event.subscribe" in daemon.calls)
    daemon.publish()


@pytest.mark.parametrize("events_of_the_new", [2, 9])
async def test_another_journal_is_followed_from_its_first_event(path: Path, events_of_the_new: int) -> None:
    async with aclosing(follow(path, since=0)) as events:
        async with running(path, Daemon(events=3)):
            assert numbers([await anext(events) for _ in range(3)]) == [1, 2, 3]
        async with running(path, Daemon("two", events=events_of_the_new)):
            seen = [await anext(events) for _ in range(2)]
    assert [(event["seq"], event["journal"]) for event in seen] == [(1, "two"), (2, "two")]


async def test_a_number_beyond_the_journal_is_of_another_one(path: Path) -> None:
    async with running(path, Daemon(events=2)):
        assert numbers(await take(path, 2, since=500)) == [1, 2]


async def test_following_passes_over_what_it_has_seen_and_what_is_none_of_its_own(path: Path) -> None:
    def event(number: int) -> bytes:
        return jsonrpc.line_of(jsonrpc.notification("event", {"subscription": 1, "event": {"seq": number}}))

    seen: list[JsonObject] = []

    async def watch() -> None:
        seen.extend(await take(path, 2, since=4))

    with listen_unix(path) as bound:
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await anyio.wait_readable(bound.socket)
            accepted, _ = bound.socket.accept()
            with accepted:
                accepted.send(jsonrpc.line_of(jsonrpc.notification("hello")))
                accepted.send(jsonrpc.line_of(jsonrpc.success(1, {"last_seq": 9, "journal": "one"})))
                accepted.send(event(4) + event(5) + event(5) + jsonrpc.line_of(jsonrpc.notification("x")) + event(7))
                await until(lambda: len(seen) == 2)
    assert numbers(seen) == [5, 7]


async def test_following_goes_back_to_short_pauses_once_a_connection_was_stable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_STABLE_SECONDS", 0.0)
    feed = following._Feed(path, 0, None, None)
    feed._pause = 0.4
    async with running(path, Daemon(events=1)):
        await feed.next()
        await feed.drop()
        await feed._rest()
        assert feed._pause == pytest.approx(2 * following._FIRST_PAUSE)
        await feed._rest()
        assert feed._pause == pytest.approx(4 * following._FIRST_PAUSE)


async def test_following_ends_with_an_error_that_waiting_does_not_mend(path: Path) -> None:
    async with running(path, Daemon()), aclosing(follow(path, sessions=["nowhere"])) as events:
        with pytest.raises(RpcFailure, match="No such session"):
            await anext(events)


async def test_following_waits_for_a_daemon_that_is_too_busy(path: Path) -> None:
    daemon, limits = Daemon(events=1), Limits(clients=1)
    seen: list[JsonObject] = []

    async def watch() -> None:
        seen.extend(await take(path, 1, since=0))

    async with running(path, daemon, limits) as server, anyio.create_task_group() as group:
        async with connect(path) as client:
            await client.call("echo", {})
            group.start_soon(watch)
            await until(lambda: server.stats.refused > 1)
            assert not seen
        await until(lambda: bool(seen))


def test_the_table_names_each_error_once() -> None:
    assert len(set(FAILURES.values())) == len(FAILURES)
    assert FAILURES[-32602] is InvalidParams
