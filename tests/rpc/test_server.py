"""The local door over real sockets: the standard over the wire, and no client that harms another."""

import os
import select
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

import anyio
import pytest
from structlog.testing import capture_logs

from ordernpay.jsontext import JsonObject, JsonValue, dumps, loads
from ordernpay.rpc import jsonrpc
from ordernpay.rpc import server as server_module
from ordernpay.rpc.server import Client, ClientGone, Limits, Reply, Server
from ordernpay.rpc.sockets import Peer, listen_unix
from ordernpay.workload import Load
from tests.rpc.test_jsonrpc import SPECIFICATION, perform, without_data

SECRET = "pin-4711"


class Toys:
    """A handler with one method for each thing that a test wants to see."""

    def __init__(self) -> None:
        self.gate = anyio.Event()
        self.started: list[JsonValue] = []
        self.cancelled: list[JsonValue] = []
        self.clients: list[Client] = []
        self.gone = anyio.Event()

    async def call(self, client: Client, method: str, params: jsonrpc.Params) -> Reply:
        self.clients.append(client)
        self.started.append(method)
        match method:
            case "wait":
                return await self.wait()
            case "boom":
                return await self.boom()
            case "refuse":
                raise jsonrpc.RpcError(1001, "no", {"kind": "rejected"})
            case "subscribe" | "flood":
                return Reply({"subscription": 1}, lambda: self.tell(client, 3 if method == "subscribe" else 10**9))
            case "follow_boom":
                return Reply({}, self.boom)
            case "give_up":
                return Reply({}, lambda: self.give_up(client))
        return Reply(self.value(client, method, params))

    def value(self, client: Client, method: str, params: jsonrpc.Params) -> JsonValue:
        match method, params:
            case "echo", _:
                return params
            case "blob", {"size": int(size)}:
                return "x" * size
            case "whoami", _:
                return {"pid": client.peer.pid, "uid": client.peer.uid, "client": client.id}
            case "unwritable", _:
                return object()  # type: ignore[return-value]
        return perform(method, params)

    async def wait(self) -> Reply:
        try:
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.append("wait")
            raise
        return Reply({"waited": True})

    async def tell(self, client: Client, times: int) -> None:
        try:
            for number in range(times):
                await client.notify("event", {"seq": number, "filler": "x" * 1000})
        finally:
            self.gone.set()

    async def give_up(self, client: Client) -> None:
        client.cut_off("slow")
        await client.notify("event", {})

    async def boom(self) -> NoReturn:
        raise ZeroDivisionError(SECRET)


class Wire:
    """A client that does just what it is told."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.setblocking(False)
        self.socket.connect(str(path))
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    async def send(self, data: str | bytes) -> None:
        view = memoryview(data.encode() if isinstance(data, str) else data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self.socket)

    async def call(self, method: str, params: JsonValue = None, id_: jsonrpc.Id = 1) -> None:
        await self.send(jsonrpc.line_of(jsonrpc.request(id_, method, params)))

    async def line(self) -> bytes:
        """The next line; empty at the end."""
        while b"\n" not in self._received:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                await anyio.wait_readable(self.socket)
                continue
            if not data:
                assert not self._received
                return b""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    async def answer(self) -> JsonValue:
        return loads(await self.line())

    async def answer_object(self) -> JsonObject:
        answer = await self.answer()
        assert isinstance(answer, dict)
        return answer

    async def error(self) -> JsonObject:
        error = (await self.answer_object())["error"]
        assert isinstance(error, dict)
        return error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "daemon.sock"


@asynccontextmanager
async def serving(path: Path, toys: Toys, limits: Limits | None = None) -> AsyncIterator[Server]:
    server = Server(toys, limits)
    with listen_unix(path) as bound:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, bound.socket)
            with anyio.fail_after(30):
                yield server
            group.cancel_scope.cancel()


def waiting_in(sock: socket.socket) -> int:
    """How many bytes a client has yet to read."""
    return len(sock.recv(1 << 20, socket.MSG_PEEK)) if select.select([sock], [], [], 0)[0] else 0


def canonical(value: JsonValue) -> str:
    return dumps(value, sort_keys=True)


async def until(condition: Callable[[], bool]) -> None:
    """Poll for a state, under the deadline of the test."""
    while not condition():  # noqa: ASYNC110 - other tasks have no event for what a test waits for
        await anyio.sleep(0.001)


@pytest.mark.parametrize(("line", "expected"), SPECIFICATION)
async def test_the_examples_of_the_standard_over_the_wire(path: Path, line: str, expected: JsonValue) -> None:
    async with serving(path, Toys()):
        with Wire(path) as wire:
            await wire.send(line + "\n")
            wire.socket.shutdown(socket.SHUT_WR)
            text = await wire.line()
            if expected is None:
                assert text == b""
                return
            answer = without_data(loads(text))
            if isinstance(answer, list) and isinstance(expected, list):
                assert sorted(map(canonical, answer)) == sorted(map(canonical, expected))
            else:
                assert answer == expected
            assert await wire.line() == b""


async def test_requests_run_side_by_side_and_are_answered_as_each_ends(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys):
        with Wire(path) as wire:
            await wire.call("wait", id_="slow")
            await wire.call("echo", {"a": 1}, id_="quick")
            assert (await wire.answer_object())["id"] == "quick"
            toys.gate.set()
            assert (await wire.answer_object())["id"] == "slow"


async def test_a_batch_mixes_and_is_answered_in_one_line(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys):
        with Wire(path) as wire:
            await wire.send(
                '[{"jsonrpc":"2.0","id":1,"method":"wait"},{"jsonrpc":"2.0","method":"boom"},7,'
                '{"jsonrpc":"2.0","id":2,"method":"subscribe"},{"jsonrpc":"2.0","id":3,"method":"boom"}]\n'
            )
            await wire.call("echo", {}, id_=9)
            assert (await wire.answer_object())["id"] == 9
            toys.gate.set()
            answers = await wire.answer()
            assert isinstance(answers, list)
            outcomes = {one["id"]: "error" in one for one in answers if isinstance(one, dict)}
            assert outcomes == {1: False, None: True, 2: False, 3: True}
            assert [(await wire.answer_object())["method"] for _ in range(3)] == ["event"] * 3


async def test_what_follows_a_reply_comes_after_it(path: Path) -> None:
    async with serving(path, Toys()):
        with Wire(path) as wire:
            await wire.call("subscribe")
            assert (await wire.answer_object())["result"] == {"subscription": 1}
            params = [(await wire.answer_object())["params"] for _ in range(3)]
            assert [one["seq"] for one in params if isinstance(one, dict)] == [0, 1, 2]


async def test_the_handler_knows_who_calls(path: Path) -> None:
    async with serving(path, Toys()):
        for number in (1, 2):
            with Wire(path) as wire:
                await wire.call("whoami")
                result = (await wire.answer_object())["result"]
                assert result == {"pid": os.getpid(), "uid": os.geteuid(), "client": number}


@pytest.mark.parametrize("method", ["boom", "unwritable", "follow_boom"])
async def test_an_unexpected_error_tells_and_logs_nothing_of_its_text(path: Path, method: str) -> None:
    with capture_logs() as logs:
        async with serving(path, Toys()):
            with Wire(path) as wire:
                await wire.call(method, {"pin": SECRET})
                answer = await wire.answer_object()
                if method != "follow_boom":
                    assert answer["error"] == {
                        "code": -32603,
                        "message": "Internal error",
                        "data": jsonrpc.error_data("internal_error"),
                    }
                await wire.call("echo", {}, id_=2)
                assert (await wire.answer_object())["id"] == 2
                await until(lambda: any(log["event"].endswith("_failed") for log in logs))
    assert SECRET not in repr(logs)
    failed = next(log for log in logs if log["event"].endswith("_failed"))
    assert failed["error"] == {"unwritable": "JsonError"}.get(method, "ZeroDivisionError")
    assert failed["peer_uid"] == os.geteuid()


async def test_errors_of_methods_go_out_as_they_are(path: Path) -> None:
    async with serving(path, Toys()):
        with Wire(path) as wire:
            await wire.call("refuse")
            assert await wire.error() == {"code": 1001, "message": "no", "data": {"kind": "rejected"}}


async def test_a_notification_is_run_and_never_answered(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys):
        with Wire(path) as wire:
            for method in ("boom", "refuse", "foobar", "echo"):
                await wire.send(jsonrpc.line_of(jsonrpc.notification(method)))
            await wire.call("echo", {}, id_="end")
            assert (await wire.answer_object())["id"] == "end"
            assert sorted(map(str, toys.started)) == ["boom", "echo", "echo", "foobar", "refuse"]


async def test_fifty_clients_at_once(path: Path) -> None:
    answered = 0

    async def one(number: int) -> None:
        nonlocal answered
        with Wire(path) as wire:
            for turn in range(20):
                await wire.call("echo", {"n": number, "t": turn}, id_=turn)
                assert (await wire.answer_object())["result"] == {"n": number, "t": turn}
                answered += 1

    async with serving(path, Toys()) as server:
        async with anyio.create_task_group() as clients:
            for number in range(50):
                clients.start_soon(one, number)
        assert answered == 1000
        await until(lambda: server.stats.now == 0)
        assert server.stats.total == 50


async def test_a_client_too_many_is_told_so(path: Path) -> None:
    with capture_logs() as logs:
        async with serving(path, Toys(), Limits(clients=2)) as server:
            with Wire(path) as first, Wire(path) as second:
                for wire in (first, second):
                    await wire.call("echo", {})
                    await wire.answer()
                for _ in range(3):
                    with Wire(path) as third:
                        error = await third.error()
                        assert error["code"] == -32002
                        assert error["data"] == jsonrpc.error_data(
                            "overloaded", retryable=True, details={"clients": 2, "of_one_user": 1, "reserved": 0}
                        )
                        assert await third.line() == b""
            await until(lambda: server.stats.now == 0)
            with Wire(path) as again:
                await again.call("echo", {})
                await again.answer()
            assert (server.stats.refused, server.stats.total) == (3, 3)
    assert [log["event"] for log in logs].count("client_refused") == 1


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_line_of_exactly_the_bound_is_served(path: Path, end: str) -> None:
    async with serving(path, Toys()):
        with Wire(path) as wire:
            line = jsonrpc.request(1, "echo", {"filler": ""})
            line = line.replace('""', '"' + "x" * (1024 * 1024 - len(line)) + '"')
            assert len(line) == 1024 * 1024
            await wire.send(line + end)
            assert "result" in await wire.answer_object()


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5 * 1024 * 1024])
async def test_a_longer_line_is_answered_and_the_connection_closed(path: Path, size: int) -> None:
    toys = Toys()
    with capture_logs() as logs:
        async with serving(path, toys) as server:
            with Wire(path) as wire, Wire(path) as other:
                await wire.call("echo", {}, id_="before")
                assert (await wire.answer_object())["id"] == "before"
                await wire.send(b"x" * size + b'\n{"jsonrpc":"2.0","id":1,"method":"echo"}\n')
                answer = await wire.answer_object()
                assert answer["id"] is None
                error = answer["error"]
                assert isinstance(error, dict)
                assert isinstance(error["data"], dict)
                assert (error["code"], error["data"]["kind"]) == (-32001, "too_large")
                assert await wire.line() == b""
                await other.call("echo", {})
                await other.answer()
            await until(lambda: server.stats.now == 0)
            assert server.stats.cut_off == 1
    assert toys.started == ["echo", "echo"]
    assert [log["reason"] for log in logs if log["event"] == "client_cut_off"] == ["too_large"]


async def test_a_half_closed_client_gets_its_answers(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys) as server:
        with Wire(path) as wire:
            await wire.call("wait", id_=1)
            await wire.call("blob", {"size": 3_000_000}, id_=2)
            await wire.send('{"jsonrpc":"2.0","id":3,"method":"echo"')
            wire.socket.shutdown(socket.SHUT_WR)
            answers = {str(one["id"]): one for one in [await wire.answer_object(), await wire.answer_object()]}
            assert len(str(answers["2"]["result"])) == 3_000_000
            assert "Parse error" in str(answers["None"]["error"])
            toys.gate.set()
            assert (await wire.answer_object())["id"] == 1
            assert await wire.line() == b""
        await until(lambda: server.stats.now == 0)
    assert toys.started == ["wait", "blob"]


async def test_a_half_closed_client_that_reads_late_gets_all_of_its_answer(path: Path) -> None:
    async with serving(path, Toys(), Limits(grace_seconds=0.0)) as server:
        with Wire(path) as wire:
            await wire.call("blob", {"size": 3_000_000})
            wire.socket.shutdown(socket.SHUT_WR)
            await until(lambda: waiting_in(wire.socket) > 100_000)
            assert len(str((await wire.answer_object())["result"])) == 3_000_000
            assert await wire.line() == b""
        await until(lambda: server.stats.now == 0)


@pytest.mark.parametrize("half_closed", [False, True])
async def test_a_vanished_client_ends_at_once(path: Path, *, half_closed: bool) -> None:
    toys = Toys()
    async with serving(path, toys) as server:
        with Wire(path) as wire:
            await wire.call("wait")
            await wire.send('{"jsonrpc":"2.0","id":3,"meth')
            if half_closed:
                wire.socket.shutdown(socket.SHUT_WR)
            await until(lambda: bool(toys.started))
        await until(lambda: server.stats.now == 0)
    assert toys.started == ["wait"]
    assert toys.cancelled == ["wait"]


async def test_a_client_that_vanishes_with_its_answer_unread_ends_at_once(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys) as server:
        with Wire(path) as wire:
            await wire.call("wait")
            await wire.call("echo", {}, id_=2)
            await until(lambda: waiting_in(wire.socket) > 0)
        await until(lambda: server.stats.now == 0)
    assert toys.cancelled == ["wait"]


async def test_a_client_that_vanishes_while_it_is_written_to_ends_alone(path: Path) -> None:
    toys = Toys()
    with capture_logs() as logs:
        async with serving(path, toys) as server:
            with Wire(path) as other:
                with Wire(path) as wire:
                    await wire.call("flood")
                    await wire.line()
                await toys.gone.wait()
                await until(lambda: server.stats.now == 1)
                await other.call("echo", {})
                await other.answer()
    assert {log["event"] for log in logs} == {"client_connected", "client_disconnected"}


async def test_a_client_that_never_reads_harms_nobody_and_is_cut_off(path: Path) -> None:
    toys = Toys()
    limits = Limits(stall_seconds=0.3, grace_seconds=0.1, queue_lines=4)
    with capture_logs() as logs:
        async with serving(path, toys, limits) as server:
            with Wire(path) as mute, Wire(path) as other:
                await mute.call("flood")
                while not toys.gone.is_set():
                    await other.call("echo", {})
                    await other.answer()
                await until(lambda: server.stats.now == 1)
                assert server.stats.cut_off == 1
    (log,) = (log for log in logs if log["event"] == "client_cut_off")
    assert log["log_level"] == "warning"
    assert (log["reason"], log["peer_pid"], log["peer_uid"]) == ("stalled", os.getpid(), os.geteuid())


async def test_a_client_that_asks_and_never_reads_is_not_buffered_without_end(path: Path) -> None:
    toys = Toys()
    limits = Limits(stall_seconds=0.3, grace_seconds=0.1, in_flight=8, queue_bytes=100_000)
    async with serving(path, toys, limits) as server:
        with Wire(path) as mute, pytest.raises(OSError, match=r"Broken pipe|Connection reset"):
            await mute.send(jsonrpc.line_of(jsonrpc.request(1, "blob", {"size": 50_000})) * 100_000)
        await until(lambda: server.stats.now == 0)
        assert server.stats.cut_off == 1
        assert len(toys.started) < 30


async def test_requests_in_flight_have_a_bound(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys, Limits(in_flight=3)):
        with Wire(path) as wire, Wire(path) as other:
            for id_ in (1, 2, 3):
                await wire.call("wait", id_=id_)
            await wire.call("echo", {}, id_=4)
            answer = await wire.answer_object()
            error = answer["error"]
            assert isinstance(error, dict)
            assert (answer["id"], error["code"]) == (4, -32002)
            assert error["data"] == jsonrpc.error_data("overloaded", retryable=True, details={"in_flight": 3})
            await wire.send(jsonrpc.line_of(jsonrpc.notification("echo")))
            batch = "[{},{}]\n".format(jsonrpc.request(5, "echo", {}), jsonrpc.request(6, "echo", {}))
            await wire.send(batch)
            answers = await wire.answer()
            assert isinstance(answers, list)
            assert len(answers) == 2
            await other.call("echo", {"a": 1})
            assert (await other.answer_object())["result"] == {"a": 1}
            toys.gate.set()
            assert {str((await wire.answer_object())["id"]) for _ in range(3)} == {"1", "2", "3"}
            await wire.call("echo", {"b": 1}, id_=7)
            assert (await wire.answer_object())["result"] == {"b": 1}
    assert toys.started.count("echo") == 2


async def test_a_long_batch_is_refused_as_one(path: Path) -> None:
    async with serving(path, Toys(), Limits(batch=10)):
        with Wire(path) as wire:
            await wire.send(dumps([1] * 11) + "\n")
            assert (await wire.error())["code"] == -32001
            await wire.send(dumps([1] * 10) + "\n")
            assert len(str(await wire.line())) > 500


async def test_a_flood_of_one_client_does_not_starve_the_others(path: Path) -> None:
    async def flood() -> None:
        data = jsonrpc.line_of(jsonrpc.notification("echo")) * 2000
        while True:
            await flooder.send(data)

    toys = Toys()
    async with serving(path, toys):
        with Wire(path) as flooder, Wire(path) as other:
            async with anyio.create_task_group() as group:
                group.start_soon(flood)
                await until(lambda: len(toys.started) > 100)
                for _ in range(20):
                    before = len(toys.started)
                    await other.call("echo", {})
                    await other.answer()
                    assert len(toys.started) - before < 200
                group.cancel_scope.cancel()


async def test_cut_off_tells_why_and_closes(path: Path) -> None:
    toys = Toys()
    async with serving(path, toys) as server:
        with Wire(path) as wire:
            await wire.call("wait")
            await until(lambda: bool(toys.clients))
            client = toys.clients[0]
            await client.notify("event", {"seq": 1})
            before = client.closed
            client.cut_off("too_slow", {"last_seq": 1})
            client.cut_off("again")
            assert (before, client.closed) == (False, True)
            with pytest.raises(ClientGone):
                await client.notify("event", {})
            assert (await wire.answer_object())["method"] == "event"
            assert await wire.answer() == {
                "jsonrpc": "2.0",
                "method": "closed",
                "params": {"last_seq": 1, "reason": "too_slow"},
            }
            assert await wire.line() == b""
        await until(lambda: server.stats.now == 0)
        assert client.reason == "too_slow"
    assert toys.cancelled == ["wait"]


async def test_what_follows_a_reply_may_cut_off_its_client(path: Path) -> None:
    with capture_logs() as logs:
        async with serving(path, Toys()):
            with Wire(path) as wire:
                await wire.call("give_up")
                assert (await wire.answer_object())["result"] == {}
                assert (await wire.answer_object())["method"] == "closed"
                assert await wire.line() == b""
    assert {log["event"] for log in logs} == {"client_connected", "client_cut_off", "client_disconnected"}


async def test_who_waits_for_room_is_told_when_the_client_is_gone(path: Path) -> None:
    toys = Toys()
    told = anyio.Event()

    async def tell() -> None:
        try:
            while True:
                await toys.clients[0].notify("event", {"filler": "x" * 1000})
        except ClientGone:
            told.set()

    async with serving(path, toys, Limits(queue_lines=2, grace_seconds=0.1)):
        with Wire(path) as wire:
            await wire.call("echo", {})
            await wire.answer()
            async with anyio.create_task_group() as group:
                group.start_soon(tell)
                group.start_soon(tell)
                outbox = toys.clients[0]._outbox
                await until(lambda: bool(outbox._current) and outbox._turn.statistics().tasks_waiting == 1)
                toys.clients[0].cut_off("too_slow")
            assert told.is_set()


async def test_when_the_daemon_stops_clients_get_what_is_queued_and_are_told(path: Path) -> None:
    toys = Toys()
    with ExitStack() as stack:
        async with serving(path, toys):
            wire = stack.enter_context(Wire(path))
            await wire.call("wait")
            await wire.call("blob", {"size": 100_000}, id_=2)
            await until(lambda: len(toys.started) == 2)
        assert (await wire.answer_object())["id"] == 2
        assert await wire.answer() == {"jsonrpc": "2.0", "method": "closed", "params": {"reason": "shutting_down"}}
        assert await wire.line() == b""
    assert toys.cancelled == ["wait"]


async def test_the_owner_is_told_of_each_client_and_a_fault_of_his_ends_that_client_alone(path: Path) -> None:
    told: list[tuple[str, int]] = []

    def opened(client: Client) -> None:
        told.append(("opened", client.id))
        if client.id == 1:
            raise ZeroDivisionError(SECRET)

    with capture_logs() as logs, listen_unix(path) as bound:
        server = Server(Toys(), on_opened=opened, on_closed=lambda client: told.append(("closed", client.id)))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, bound.socket)
            with Wire(path) as wire:
                assert await wire.line() == b""
            with Wire(path) as wire:
                await wire.call("echo", {})
                await wire.answer()
            await until(lambda: len(told) == 4)
            group.cancel_scope.cancel()
    assert told == [("opened", 1), ("closed", 1), ("opened", 2), ("closed", 2)]
    assert SECRET not in repr(logs)


async def test_no_descriptors_left_is_no_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(24, "Too many open files"), OSError(24, "Too many open files"), ConnectionAbortedError()]

    class Failing(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            if failures:
                raise failures.pop(0)
            return super().accept()

    with capture_logs() as logs, Failing(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        async with anyio.create_task_group() as group:
            group.start_soon(Server(Toys()).serve, listening)
            with Wire(path) as wire:
                await wire.call("echo", {})
                await wire.answer()
            group.cancel_scope.cancel()
    assert [log["error"] for log in logs if log["event"] == "accept_failed"] == ["EMFILE"]


def test_a_reply_and_a_peer_are_plain_values() -> None:
    assert Reply({"a": 1}) == Reply({"a": 1})
    assert Peer(1, 2, 3) == Peer(1, 2, 3)


async def test_a_whole_last_line_without_its_end_is_answered(path: Path) -> None:
    async with serving(path, Toys()):
        with Wire(path) as wire:
            await wire.send('{"jsonrpc":"2.0","id":4,"method":"echo","params":{"a":1}}')
            wire.socket.shutdown(socket.SHUT_WR)
            assert await wire.answer_object() == {"jsonrpc": "2.0", "id": 4, "result": {"a": 1}}
            assert await wire.line() == b""


@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Content-Length: 2\r\n\r\n{}\r\n"])
async def test_another_protocol_gets_one_line_and_the_end(path: Path, head: str) -> None:
    async with serving(path, Toys()) as server:
        with Wire(path) as wire:
            await wire.send(head)
            error = await wire.error()
            assert error["code"] == -32600
            assert "one JSON value a line" in str(error["data"])
            assert await wire.line() == b""
        await until(lambda: server.stats.now == 0)


async def test_lines_in_flight_have_a_bound_in_bytes_and_only_those_beyond_it_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = Toys()
    async with serving(path, toys) as server:
        monkeypatch.setattr(server.loads, "working", Load(100_000, 150_000))
        with Wire(path) as wire, Wire(path) as other, Wire(path) as third:
            for asker in (wire, other):
                await asker.call("wait", {"x": "y" * 60_000}, id_=1)
            await until(lambda: len(toys.started) == 2)
            for id_, asker in ((2, wire), (3, third)):
                await asker.call("echo", {"x": "y" * 60_000}, id_=id_)
                answer = await asker.answer_object()
                assert (answer["id"], answer["error"]["code"]) == (id_, -32002)  # type: ignore[index,call-overload]
                await asker.call("echo", {"small": 1}, id_=4)
                assert (await asker.answer_object())["id"] == 4
            toys.gate.set()
            await wire.answer()
            await wire.call("echo", {"x": "y" * 60_000}, id_=5)
            assert (await wire.answer_object())["id"] == 5
        await until(lambda: server.stats.now == 0)
        assert server.loads.working.total == 0


async def test_beginnings_of_lines_have_a_bound_for_all_clients(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(path, Toys()) as server:
        monkeypatch.setattr(server.loads, "receiving", Load(1_000_000, 150_000))
        with Wire(path) as first, Wire(path) as second:
            await first.send("x" * 100_000)
            await until(lambda: server.loads.receiving.total == 100_000)
            await second.send("x" * 100_000)
            assert (await second.error())["code"] == -32002
            assert await second.line() == b""
            await first.send("\n")
            assert (await first.error())["code"] == -32700
        await until(lambda: server.stats.now == 0)
        assert server.loads.receiving.total == 0


async def test_who_leaves_most_unread_is_cut_off_where_all_together_leave_too_much(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(path, Toys(), Limits(grace_seconds=0.1)) as server:
        monkeypatch.setattr(server.loads, "answers", Load(1, 3_000_000))
        with Wire(path) as mute, Wire(path) as polite:
            for id_ in (1, 2):
                await mute.call("blob", {"size": 1_000_000}, id_=id_)
            await until(lambda: server.loads.answers.total > 1_900_000)
            await polite.call("blob", {"size": 1_500_000})
            assert len(str((await polite.answer_object())["result"])) == 1_500_000
            await until(lambda: server.stats.cut_off == 1)
            await until(lambda: server.loads.answers.total == 0)


async def test_a_dear_line_of_one_client_is_read_beside_the_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def parse(line: bytes, **bounds: int) -> Any:
        threads.add(threading.current_thread().name)
        return jsonrpc.Invalid(jsonrpc.parse_error("x"))

    monkeypatch.setattr(jsonrpc, "parse", parse)
    async with serving(path, Toys()):
        with Wire(path) as wire:
            await wire.send("1\n")
            await wire.error()
            assert threads == {threading.current_thread().name}
            await wire.send("[" + "1," * 10_000 + "1]\n")
            await wire.error()
            assert any(name.startswith("large") for name in threads)


def peers(monkeypatch: pytest.MonkeyPatch, *uids: int) -> None:
    """Let the clients that connect next be of these users, and the last of them all that follow."""
    waiting = [*uids]

    def peer(_: socket.socket) -> Peer:
        return Peer(1, waiting.pop(0) if len(waiting) > 1 else waiting[0], 0)

    monkeypatch.setattr(server_module, "peer_of", peer)


async def test_one_user_gets_a_share_and_administrators_a_reserve(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(path, Toys(), Limits(clients=16)) as server:  # 2 reserved, 7 for one user
        with ExitStack() as stack:

            async def joins(uid: int) -> bool:
                peers(monkeypatch, uid)
                wire = stack.enter_context(Wire(path))
                await wire.call("echo", {})
                return "result" in await wire.answer_object()

            assert [await joins(7) for _ in range(9)] == [True] * 7 + [False] * 2
            assert [await joins(8) for _ in range(8)] == [True] * 7 + [False]
            assert not await joins(9)
            assert [await joins(0) for _ in range(3)] == [True, True, False]
        await until(lambda: server.stats.now == 0)


@pytest.mark.parametrize("asks", [False, True])
async def test_a_client_with_which_nothing_goes_on_makes_room_for_another(
    path: Path,
    asks: bool,  # noqa: FBT001 - parametrised
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "IDLE_FRESH", 0.05)
    monkeypatch.setattr(server_module, "IDLE", 0.1)
    peers(monkeypatch, 7)
    toys = Toys()
    async with serving(path, toys, Limits(clients=8, grace_seconds=0.1)):  # 3 for one user
        with Wire(path) as busy, Wire(path) as idle, Wire(path) as later:
            await busy.call("wait", id_=1)
            for wire in (idle, later) if asks else (later,):
                await wire.call("echo", {})
                await wire.answer()

            came_in = False
            while not came_in:
                with Wire(path) as new:
                    await new.call("echo", {}, id_=5)
                    came_in = "result" in await new.answer_object()
            assert (await idle.answer_object())["params"] == {"reason": "idle"}
            toys.gate.set()
            assert (await busy.answer_object())["id"] == 1
