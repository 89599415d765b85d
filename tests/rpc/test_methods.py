"""The methods of the local socket, over gateway, journal and events, with a scripted session."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from attrs import define, evolve, field

from ordernpay.certificates import read_file
from ordernpay.clock import rfc3339
from ordernpay.config import Access, Rpc
from ordernpay.events import Events
from ordernpay.gateway import Gateway
from ordernpay.journal import Journal, JournalUnavailable
from ordernpay.jsontext import JsonObject, JsonValue, dumps, loads
from ordernpay.outcomes import Failure, ended, succeeded
from ordernpay.rpc import condition
from ordernpay.rpc import methods as module
from ordernpay.rpc.access import Caller, Gatekeeper
from ordernpay.rpc.condition import Disk
from ordernpay.rpc.jsonrpc import RpcError
from ordernpay.rpc.methods import METHODS, Methods
from ordernpay.rpc.server import Reply
from ordernpay.rpc.sockets import Peer
from ordernpay.vendors.protocol import Report, SessionStatus
from tests.support.fakes import ORDER, WALL, HandClock, ScriptedSession, act, no_answer, refused
from tests.support.wait import until

GB = 10**9
CALL: JsonObject = {"order": ORDER, "idempotency_key": "k", "timeout": 5}
ADMIN = Caller(0, "root", frozenset(), admin=True)
KIOSK = Caller(2001, "asha", frozenset({"kiosk"}), admin=False)
OTHER = Caller(2002, "ben", frozenset({"kiosk"}), admin=False)


@define(eq=False)
class Kiosk:
    """A client as the methods see it."""

    caller: Caller = ADMIN
    id: int = field(factory=count().__next__)
    reads: asyncio.Event | None = None
    told: list[JsonObject] = field(factory=list)
    closed: list[str] = field(factory=list)
    tasks: list["asyncio.Task[None]"] = field(factory=list)

    @property
    def peer(self) -> Peer:
        return Peer(1, self.caller.uid, 0)

    async def send(self, text: str) -> None:
        message: Any = loads(text)
        assert (message["jsonrpc"], message["method"]) == ("2.0", "event")
        self.told.append(message["params"])
        if self.reads is not None:
            await self.reads.wait()

    def cut_off(self, reason: str, params: JsonObject) -> None:
        self.closed.append(reason)
        self.told.append(params)

    def seqs(self, subscription: int = 1) -> list[JsonValue]:
        return [one["event"]["seq"] for one in self.told if one["subscription"] == subscription]  # type: ignore[index,call-overload]


class KnownCallers(Gatekeeper):
    """The callers of a test, whatever users this machine has."""

    def __init__(self, rpc: Rpc) -> None:
        super().__init__(rpc)

    def caller(self, peer: Peer) -> Caller:
        return next(one for one in (ADMIN, KIOSK, OTHER) if one.uid == peer.uid)


@define(eq=False)
class Bench:
    journal: Journal
    gateway: Gateway
    session: ScriptedSession
    events: Events
    methods: Methods
    clock: HandClock

    async def reply(self, method: str, params: Any = None, client: Kiosk | None = None) -> Reply:
        return await self.methods.call(client or Kiosk(), method, params)  # type: ignore[arg-type]

    async def call(self, method: str, params: Any = None, client: Kiosk | None = None) -> Any:
        reply = await self.reply(method, params, client)
        return reply.value if reply.text is None else loads(reply.text)

    async def fails(self, method: str, params: Any = None, client: Kiosk | None = None) -> RpcError:
        with pytest.raises(RpcError) as caught:
            await self.reply(method, params, client)
        return caught.value


@contextlib.asynccontextmanager
async def bench(directory: Path, rpc: Rpc | None = None, backlog: int = 100, **session: Any) -> AsyncIterator[Bench]:
    clock = HandClock()
    journal = Journal(directory, clock)
    await journal.open()
    gateway, events = Gateway(journal, clock), Events(journal)
    await events.start()
    one = ScriptedSession(**session)
    gateway.sessions[one.name] = one
    methods = Methods(gateway, journal, events, KnownCallers(rpc or Rpc()), clock, backlog)
    async with anyio.create_task_group() as tasks:
        await tasks.start(gateway.run)
        try:
            yield Bench(journal, gateway, one, events, methods, clock)
        finally:
            await gateway.stop()
            tasks.cancel_scope.cancel()
    await journal.close()


async def test_an_outcome_is_a_result_and_any_other_end_an_error(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        result = await it.call("order.create", CALL)
        assert set(result) == {"command_id", "session", "state", "result", "vendor"}
        assert (result["session"], result["state"], result["vendor"]) == ("bar", "succeeded", {"ResultCode": 0})
        it.session.script = refused
        error = await it.fails("order.create", CALL | {"idempotency_key": "other"})
        assert error.code == 1001
        assert isinstance(error.data, dict)
        assert {name: error.data[name] for name in ("kind", "state", "retryable", "vendor_code", "vendor_message")} == {
            "kind": "rejected", "state": "rejected", "retryable": False, "vendor_code": 99, "vendor_message": "no"
        }  # fmt: skip
        assert await it.call("order.create", CALL | {"wait": False}) == await it.call("order.create", CALL)
        it.session.script = act
        accepted = await it.call("order.create", CALL | {"idempotency_key": "third", "wait": False})
        assert accepted == {"command_id": accepted["command_id"], "state": "accepted"}


async def test_every_refusal_has_the_contracts_members(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        for method, params, code in (
            ("order.create", {}, -32602),
            ("order.create", CALL | {"session": "x"}, -32007),
            ("session.get", {"session": "x"}, -32007),
            ("session.get", {}, -32602),
            ("command.get", {"command_id": "x"}, -32602),
            ("event.unsubscribe", {"subscription": 5}, -32602),
        ):
            error = await it.fails(method, params)
            assert error.code == code
            assert isinstance(error.data, dict)
            assert {"kind", "command_id", "state", "retryable", "vendor_code", "vendor_message", "details"} <= set(
                error.data
            )


async def test_unknown_methods_and_params_by_position_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        assert (await it.fails("order.destroy", {})).code == -32601
        assert (await it.fails("order.create", [1])).code == -32602
        assert (await it.fails("session.list", [])).code == -32602


@pytest.mark.parametrize("method", METHODS)
async def test_unknown_params_are_refused_by_every_method(tmp_path: Path, method: str) -> None:
    async with bench(tmp_path) as it:
        error = await it.fails(method, {"surprise": 1})
        assert error.code == -32602
        assert isinstance(error.data, dict)
        assert "surprise" in [fault["path"] for fault in error.data["details"]]  # type: ignore[union-attr,index,call-overload]


async def test_sessions_are_told_with_their_state_and_commands(tmp_path: Path) -> None:
    async with bench(tmp_path, state="refused") as it:
        told = (await it.call("session.get", {"session": "bar"}))["session"]
        assert (told["name"], told["vendor"], told["state"], told["in_flight"]) == ("bar", "scripted", "refused", 0)
        assert "order.create" in told["commands"]
        assert (await it.call("session.list"))["sessions"] == [told]
        await it.call("session.reconnect", {"session": "bar"})
        assert it.session.reconnects == 1


async def test_the_journals_rows_are_told_page_by_page(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        ids = [(await it.call("order.create", CALL | {"idempotency_key": str(n)}))["command_id"] for n in range(5)]
        page = await it.call("command.list", {"limit": 2})
        assert [row["command_id"] for row in page["commands"]] == [ids[4], ids[3]]
        page = await it.call("command.list", {"limit": 2, "after": page["next"]})
        page = await it.call("command.list", {"limit": 2, "after": page["next"]})
        assert ([row["command_id"] for row in page["commands"]], page["next"]) == ([ids[0]], None)
        assert (await it.fails("command.list", {"session": "other"})).code == -32007
        error = await it.fails("command.list", {"after": "pruned-meanwhile"})
        assert isinstance(error.data, dict)
        assert (error.code, error.data["details"][0]["path"]) == (-32602, "after")  # type: ignore[index,call-overload]
        assert len((await it.call("command.list", {"state": "succeeded"}))["commands"]) == 5
        row = await it.call("command.get", {"command_id": ids[0]})
        assert (row["state"], row["method"], row["idempotency_key"]) == ("succeeded", "order.create", "0")


async def test_an_unknown_command_is_retried_by_its_own_user_or_an_admin(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        error = await it.fails("order.create", CALL, Kiosk(KIOSK))
        assert isinstance(error.data, dict)
        again = {"command_id": error.data["command_id"], "timeout": 5}
        assert (await it.fails("command.retry", again, Kiosk(OTHER))).code == -32003
        assert (await it.fails("command.retry", again, Kiosk(KIOSK))).code == 1006
        it.session.script = act
        assert (await it.call("command.retry", again))["state"] == "succeeded"
        assert (await it.fails("command.retry", again)).code == -32602


@pytest.mark.parametrize("state", ["succeeded", "failed"])
async def test_a_persons_verdict_is_an_admins_and_is_noted_with_the_name(tmp_path: Path, state: str) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        error = await it.fails("order.create", CALL)
        assert isinstance(error.data, dict)
        verdict = {"command_id": error.data["command_id"], "state": state, "note": "seen at the till"}
        assert (await it.fails("command.resolve", verdict, Kiosk(KIOSK))).code == -32003
        assert (await it.fails("command.resolve", {"command_id": "?"}, Kiosk(KIOSK))).code == -32003
        row = await it.call("command.resolve", verdict)
        assert (row["state"], row["note"]) == (state, "root: seen at the till")
        assert (await it.fails("command.resolve", verdict)).code == -32602


@pytest.mark.parametrize(
    ("method", "params", "members", "known"),
    [
        ("order.create", {"order": ORDER}, {"order"}, (None, "r-1")),
        ("order.update", {"order_id": "o-7", "covers": 2, "reference": "r-7"}, {"order"}, ("o-7", "r-7")),
        ("order.cancel", {"order_id": "o-7", "reason": "no"}, {"order", "cancellation_id"}, ("o-7", None)),
        (
            "payment.create",
            {"order_id": "o-7", "payment": {"method": "VISA", "amount": "1.00"}},
            {"payment_id", "order"},
            ("o-7", None),
        ),
        ("vendor.request", {"request": {}}, {"response"}, None),
    ],
)
async def test_a_command_that_a_person_saw_done_has_the_members_of_its_result(
    tmp_path: Path, method: str, params: dict[str, Any], members: set[str], known: tuple[str | None, str | None] | None
) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        error = await it.fails(method, params | {"idempotency_key": "k", "timeout": 5})
        assert isinstance(error.data, dict)
        verdict = {"command_id": error.data["command_id"], "state": "succeeded", "note": "seen at the till"}
        await it.call("command.resolve", verdict)
        it.session.repeats = False
        result = (await it.call(method, params | {"idempotency_key": "k"}))["result"]
        assert result.keys() == members
        if known is not None:
            assert (result["order"]["id"], result["order"]["reference"]) == known
            assert result["order"]["status"] is None


RULES = Rpc(access=(Access("kiosk", ("order.*", "event.*", "session.*", "command.*"), ("bar",)),))


async def test_a_caller_sees_its_own_sessions_alone(tmp_path: Path) -> None:
    async with bench(tmp_path, RULES) as it:
        it.gateway.sessions["cellar"] = ScriptedSession("cellar")
        kiosk = Kiosk(KIOSK)
        hidden = await it.call("order.create", CALL | {"session": "cellar"})
        seen = await it.call("order.create", CALL | {"session": "bar"}, kiosk)
        for method, params in (
            ("order.create", CALL | {"session": "cellar"}),
            ("session.get", {"session": "cellar"}),
            ("command.get", {"command_id": hidden["command_id"]}),
            ("command.list", {"session": "cellar"}),
            ("event.subscribe", {"sessions": ["cellar"]}),
            ("event.list", {"sessions": ["bar", "cellar"]}),
            ("daemon.status", {}),
            ("user.lookup", {"session": "bar", "pin": "1"}),
        ):
            assert (await it.fails(method, params, kiosk)).code == -32003, method
        assert [one["name"] for one in (await it.call("session.list", {}, kiosk))["sessions"]] == ["bar"]
        rows = (await it.call("command.list", {}, kiosk))["commands"]
        assert [row["command_id"] for row in rows] == [seen["command_id"]]
        events = (await it.call("event.list", {}, kiosk))["events"]
        assert {event["session"] for event in events} == {"bar"}
        assert len((await it.call("event.list"))["events"]) == 2


# Events


async def test_other_rules_are_in_force_for_who_is_connected_already(tmp_path: Path) -> None:
    class Promoting(KnownCallers):
        def caller(self, peer: Peer) -> Caller:
            return evolve(super().caller(peer), admin=True)

    async with bench(tmp_path) as it:
        kiosk = Kiosk(KIOSK)
        for rules, allowed in ((KnownCallers, False), (Promoting, True), (KnownCallers, False)):
            it.methods.admit_by(rules(Rpc()))
            if allowed:
                await it.call("session.reconnect", {"session": "bar"}, kiosk)
            else:
                assert (await it.fails("session.reconnect", {"session": "bar"}, kiosk)).code == -32003


async def subscribe(it: Bench, kiosk: Kiosk, **params: Any) -> JsonObject:
    reply = await it.reply("event.subscribe", params, kiosk)
    assert reply.follow_up is not None
    kiosk.tasks.append(asyncio.create_task(reply.follow_up()))  # type: ignore[arg-type]
    assert isinstance(reply.value, dict)
    return reply.value


async def end(kiosk: Kiosk) -> None:
    for task in kiosk.tasks:
        task.cancel()
    await asyncio.gather(*kiosk.tasks, return_exceptions=True)


async def add(it: Bench, count: int = 1, kind: str = "session.up", session: str = "bar") -> None:
    for _ in range(count):
        await it.journal.publish(session, [Report(kind)], None, WALL)


async def test_a_subscription_begins_now_or_after_a_number(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await add(it, 3)
        kiosk = Kiosk()
        result = await subscribe(it, kiosk)
        assert result == {
            "subscription": 1,
            "last_seq": 3,
            "first_seq": 1,
            "gap": False,
            "journal": it.journal.identity,
        }
        assert (await subscribe(it, kiosk, since=1))["subscription"] == 2
        await add(it, 1)
        await until(lambda: kiosk.seqs(1) == [4] and kiosk.seqs(2) == [2, 3, 4])
        await end(kiosk)


async def test_a_subscription_is_of_the_sessions_and_kinds_that_it_names(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        kiosk = Kiosk()
        await subscribe(it, kiosk, since=0, sessions=["bar"], kinds=["session.down"])
        await add(it, 1)
        await add(it, 1, "session.down")
        await add(it, 1, "session.down", "terrace")
        await add(it, 1, "session.down")
        await until(lambda: kiosk.seqs() == [2, 4])
        await end(kiosk)


async def test_a_gap_is_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await add(it, 5)
        it.clock.forward(2)
        while await it.journal.prune(1.0):
            pass
        await add(it, 1)
        kiosk = Kiosk()
        assert (await subscribe(it, kiosk, since=2))["gap"] is True
        assert (await subscribe(it, kiosk, since=5))["gap"] is False
        # A number above all: of a journal that is no more. Everything kept is news.
        assert (await subscribe(it, kiosk, since=99))["gap"] is True
        await until(lambda: kiosk.seqs(3) == [6])
        await end(kiosk)


async def test_a_subscription_ends_when_asked_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        kiosk = Kiosk()
        await subscribe(it, kiosk, since=0)
        await add(it)
        await until(lambda: kiosk.seqs() == [1])
        assert await it.call("event.unsubscribe", {"subscription": 1}, kiosk) == {}
        await asyncio.gather(*kiosk.tasks)
        assert (await it.fails("event.unsubscribe", {"subscription": 1}, kiosk)).code == -32602
        assert (await subscribe(it, kiosk))["subscription"] == 2
        assert (await it.fails("event.unsubscribe", {"subscription": 2}, Kiosk())).code == -32602
        await end(kiosk)


@pytest.mark.parametrize(
    ("methods", "sessions", "asked", "goes_on"),
    [
        (("event.*",), ("bar", "terrace"), {}, True),
        (("event.*",), ("terrace",), {}, False),
        (("event.*",), None, {}, False),
        (("event.*",), None, {"sessions": ["bar"]}, True),
        (("event.*",), ("terrace",), {"sessions": ["bar"]}, False),
        (("order.*",), ("bar", "terrace"), {}, False),
    ],
)
async def test_a_subscription_does_not_outlive_the_rules_that_allowed_it(
    tmp_path: Path,
    methods: tuple[str, ...],
    sessions: tuple[str, ...] | None,
    asked: JsonObject,
    *,
    goes_on: bool,
) -> None:
    async with bench(tmp_path, Rpc(access=(Access("kiosk", ("event.*",), ("bar", "terrace")),))) as it:
        kiosk = Kiosk(KIOSK)
        await subscribe(it, kiosk, **asked)
        await add(it)
        await until(lambda: kiosk.seqs() == [1])
        it.methods.admit_by(KnownCallers(Rpc(access=(Access("kiosk", methods, sessions),))))
        await add(it)
        if goes_on:
            await until(lambda: kiosk.seqs() == [1, 2])
            assert kiosk.closed == []
        else:
            await until(lambda: kiosk.closed == ["access_changed"])
            assert kiosk.told[1:] == [{"subscription": 1, "last_seq": 2}]
        await end(kiosk)


async def test_a_connection_has_only_so_many_subscriptions(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        kiosk = Kiosk()
        for _ in range(module.MOST_SUBSCRIPTIONS):
            await subscribe(it, kiosk)
        error = await it.fails("event.subscribe", {}, kiosk)
        assert error.code == -32002
        await subscribe(it, other := Kiosk())
        it.methods.forget(kiosk)  # type: ignore[arg-type]
        await end(kiosk)
        await end(other)


async def test_a_subscriber_that_falls_behind_is_cut_off_and_told_where_it_stood(tmp_path: Path) -> None:
    async with bench(tmp_path, backlog=3) as it:
        gate = asyncio.Event()
        kiosk = Kiosk(reads=gate)
        await subscribe(it, kiosk, since=0)
        await asyncio.sleep(0)
        await add(it, 1)
        await until(lambda: kiosk.told)
        for _ in range(6):
            await add(it, 1)
        gate.set()
        await until(lambda: kiosk.closed == ["slow"])
        assert kiosk.told[-1] == {"subscription": 1, "last_seq": 7}
        await end(kiosk)


async def test_kept_events_are_listed(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await add(it, 4)
        await add(it, 1, "session.down")
        listed = await it.call("event.list", {"since": 1, "limit": 2})
        assert ([event["seq"] for event in listed["events"]], listed["last_seq"], listed["first_seq"]) == ([2, 3], 5, 1)
        listed = await it.call("event.list", {"kinds": ["session.down"]})
        assert [event["seq"] for event in listed["events"]] == [5]


@pytest.mark.parametrize("method", ["event.list", "event.subscribe"])
async def test_a_kind_that_no_event_has_is_refused_by_name(tmp_path: Path, method: str) -> None:
    async with bench(tmp_path) as it:
        error = await it.fails(method, {"kinds": ["session.up", "order.*"]})
        data: Any = error.data
        [fault] = data["details"]
        assert (error.code, fault["path"]) == (-32602, "kinds[1]")
        assert "order.updated" in fault["message"]


# The daemon


async def test_the_status_tells_the_journal_and_the_clients(tmp_path: Path) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        await it.fails("order.create", CALL)
        told = await it.call("daemon.status")
        assert {"version", "uptime", "sessions", "journal", "clients"} <= set(told)
        assert told["journal"]["commands"] == {"unknown": 1}
        assert told["journal"]["oldest_unknown_at"] == "2027-01-15T08:16:40.000Z"
        assert (told["journal"]["error"], told["journal"]["in_flight"]) == (None, 0)
        assert told["sessions"][0]["name"] == "bar"


async def test_the_status_names_the_oldest_unknown_command_to_who_may_see_its_session(tmp_path: Path) -> None:
    access = Access("kiosk", ("daemon.status", "session.*", "order.*"), ("elsewhere",))
    async with bench(tmp_path, Rpc(access=(access,)), script=no_answer) as it:
        assert (await it.call("daemon.status"))["journal"]["oldest_unknown"] is None
        error = await it.fails("order.create", CALL)
        await it.fails("order.create", CALL | {"idempotency_key": "later"})
        journal = (await it.call("daemon.status"))["journal"]
        assert journal["unknown"] == 2
        assert isinstance(error.data, dict)
        assert journal["oldest_unknown"] == {
            "command_id": error.data["command_id"],
            "session": "bar",
            "accepted_at": journal["oldest_unknown_at"],
            "age": 0,
        }
        seen = (await it.call("daemon.status", client=Kiosk(KIOSK)))["journal"]
        assert (seen["unknown"], seen["oldest_unknown"]) == (2, None)


async def test_the_status_tells_what_is_left_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as it:
        disk = (await it.call("daemon.status"))["disk"]
        assert (disk["path"], disk["error"]) == (str(tmp_path), None)
        assert 0 < disk["free"] < disk["total"]

        def gone(_: Path) -> Disk:
            raise FileNotFoundError(2, "No such file or directory")

        monkeypatch.setattr(condition, "disk_of", gone)
        disk = (await it.call("daemon.status"))["disk"]
        assert (disk["free"], disk["low"], disk["error"]) == (None, None, "No such file or directory")


@pytest.mark.parametrize(
    ("total", "free", "low"),
    [
        (10 * GB, GB, False),
        (10 * GB, GB // 3, True),
        (1_000 * GB, 3 * GB, False),
        (1_000 * GB, GB, True),
        (GB, GB // 4, False),
        (GB, GB // 6, True),
    ],
)
def test_a_disk_is_low_under_a_share_but_neither_too_early_nor_too_late(total: int, free: int, low: object) -> None:
    assert Disk(total, free).low is low


async def test_the_status_tells_a_refused_reload_and_our_own_certificate(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        told = await it.call("daemon.status")
        assert (told["config_error"], told["inbound"]) == (None, {"certificate_expires": None, "error": None})
        it.methods.condition.config_error = "x.toml: rpc.mode: expected …"
        ends = datetime(2040, 2, 3, tzinfo=UTC)
        leaf, file, key = (
            trustme.CA().issue_cert("till.test", not_after=ends),
            tmp_path / "own.pem",
            tmp_path / "key.pem",
        )
        file.write_bytes(leaf.cert_chain_pems[0].bytes())
        key.write_bytes(leaf.private_key_pem.bytes())
        shown = read_file(file)
        it.methods.condition.certificate = lambda: shown
        it.methods.condition.certificate_files = lambda: (str(file), str(key))
        told = await it.call("daemon.status")
        assert told["config_error"] == "x.toml: rpc.mode: expected …"
        assert told["inbound"] == {"certificate_expires": "2040-02-03T00:00:00.000Z", "error": None}
        for content, error in ((None, "No such file or directory"), (b"", "no certificate in PEM form")):
            file.unlink()
            if content is not None:
                file.write_bytes(content)
            told = await it.call("daemon.status")
            assert told["inbound"]["certificate_expires"] == "2040-02-03T00:00:00.000Z"  # which is shown all the same
            assert told["inbound"]["error"].startswith("inbound.tls_certificate: expected a certificate and its chain")
            assert told["inbound"]["error"].endswith(f"got {file} ({error})")
            file.touch()


async def test_a_session_tells_why_it_is_down_how_often_it_came_back_and_its_vendors_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as it:
        counters = {"connections": 3}
        why = "ConnectError: Connection refused"
        status = SessionStatus("down", WALL, 0, why, counters, certificate_expires=WALL + 60)
        monkeypatch.setattr(ScriptedSession, "status", lambda _: status)
        told = (await it.call("session.get", {"session": "bar"}))["session"]
        assert told["why"].startswith("The other machine is there, but nothing listens")
        assert (told["reconnects"], told["certificate_expires"]) == (2, rfc3339(WALL + 60))
        monkeypatch.setattr(ScriptedSession, "status", lambda _: SessionStatus("up", WALL, 0, None, {}))
        told = (await it.call("session.list"))["sessions"][0]
        assert (told["why"], told["reconnects"], told["certificate_expires"]) == (None, 0, None)


async def test_a_journal_that_cannot_be_written_is_an_overload_for_whoever_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, script=no_answer) as it:
        error = await it.fails("order.create", CALL)
        assert isinstance(error.data, dict)

        async def full(*_: Any) -> Any:
            raise JournalUnavailable("disk full")

        monkeypatch.setattr(it.journal, "resolve", full)
        verdict = {"command_id": error.data["command_id"], "state": "failed", "note": "n"}
        assert (await it.fails("command.resolve", verdict)).code == -32002


async def test_the_document_describes_itself(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        assert (await it.call("rpc.discover"))["openrpc"].startswith("1.")
        assert await it.call("rpc.discover", None, Kiosk(KIOSK)) == loads(dumps(module.openrpc()))


async def test_a_read_that_the_vendor_could_not_answer_says_so(tmp_path: Path) -> None:
    async def script(*_: Any) -> Any:
        return ended(Failure("vendor_unavailable", "not answered in time"))

    async with bench(tmp_path, script=script) as it:
        error = await it.fails("order.list", {})
        assert (error.code, error.data["state"], error.data["retryable"]) == (1008, "failed", True)  # type: ignore[index,call-overload]
        it.session.script = None
        assert succeeded({}).state == (await it.call("order.list", {}))["state"]


@pytest.mark.parametrize(
    ("asked", "nearest"), [("order.creat", "order.create"), ("comand.list", "command.list"), ("zz", None)]
)
async def test_a_method_that_there_is_not_is_named_with_the_nearest(
    tmp_path: Path, asked: str, nearest: str | None
) -> None:
    async with bench(tmp_path) as it:
        error = await it.fails(asked)
        assert error.code == -32601
        assert asked in error.message
        assert error.data["details"] == {"method": asked, "nearest": nearest}  # type: ignore[index,call-overload]
        assert (f"did you mean {nearest}?" in error.message) == (nearest is not None)


async def test_a_method_with_anything_in_its_name_is_told_harmlessly(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        error = await it.fails("\x1b[2J" + "x" * 100_000)
        assert len(error.message) < 100
        assert error.message.isprintable()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("session.get", {"session": "baar"}),
        ("command.list", {"session": "baar"}),
        ("event.list", {"sessions": ["bar", "baar"]}),
        ("event.subscribe", {"sessions": ["baar"]}),
        ("order.create", CALL | {"session": "baar"}),
    ],
)
async def test_a_mistyped_session_is_refused_with_the_nearest_and_never_answered_by_emptiness(
    tmp_path: Path, method: str, params: JsonObject
) -> None:
    async with bench(tmp_path) as it:
        error = await it.fails(method, params)
        assert error.code == -32007
        assert error.message == "no session baar; did you mean bar?"
        assert error.data["details"] == {"sessions": ["bar"], "nearest": "bar"}  # type: ignore[index,call-overload]


async def test_the_history_of_a_session_that_is_configured_no_more_can_be_read(tmp_path: Path) -> None:
    async with bench(tmp_path) as it:
        await it.call("order.create", CALL)
        del it.gateway.sessions["bar"]
        assert len((await it.call("command.list", {"session": "bar"}))["commands"]) == 1
        assert len((await it.call("event.list", {"sessions": ["bar"]}))["events"]) == 1


@pytest.mark.parametrize("filters", [{"sessions": []}, {"kinds": []}, {"kinds": ["no.such"]}])
@pytest.mark.parametrize("method", ["event.list", "event.subscribe"])
async def test_a_filter_that_lets_nothing_through_is_refused(tmp_path: Path, method: str, filters: JsonObject) -> None:
    async with bench(tmp_path) as it:
        error = await it.fails(method, filters)
        assert error.code == -32602
        assert error.data["details"][0]["path"].startswith(next(iter(filters)))  # type: ignore[index,call-overload,union-attr]


async def test_pages_end_by_their_size_and_lead_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 5_000)
    async with bench(tmp_path) as it:
        for number in range(9):
            order = ORDER | {"notes": ["x" * 1_000]}
            await it.call("order.create", {"order": order, "idempotency_key": f"k{number}", "timeout": 5})
        keys, after = [], None
        while True:
            page = await it.call("command.list", {"limit": 100, "after": after})
            keys += [one["idempotency_key"] for one in page["commands"]]
            assert len(page["commands"]) < 9
            after = page["next"]
            if after is None:
                break
        assert keys == [f"k{number}" for number in reversed(range(9))]
        monkeypatch.setattr(module, "PAGE_SIZE", 500)
        seqs, since, more = [], 0, True
        while more:
            page = await it.call("event.list", {"limit": 100, "since": since})
            seqs += [one["seq"] for one in page["events"]]
            since, more = seqs[-1], page["more"]
            assert len(page["events"]) < 9
        assert seqs == [*range(1, 10)]
