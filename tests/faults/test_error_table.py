"""Every row of the contract's error table, made to happen over the real socket; and bad input, which harms nobody else."""
# ruff: noqa: ASYNC110, SIM117 - it polls with a deadline; the inner block reads the outer's port

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk, planted
from tests.support.daemons import daemon_inside, daemon_process, session, tables
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until

NOBODY: Final = 65534
MEBIBYTE: Final = 1_048_576


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    path: str

    async def error(self, method: str = "order.create", params: Any = None) -> dict[str, Any]:
        answer = await kiosk.ask(self.path, method, kiosk.create("key") if params is None else params)
        error: dict[str, Any] = answer["error"]
        return error


@contextlib.asynccontextmanager
async def venue(folder: Path, config: dict[str, Any] | None = None, **changes: Any) -> AsyncIterator[Venue]:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        written = tables(folder, {"bar": session(url=pos.url, **changes)})
        for name, table in (config or {}).items():
            written[name] = written.get(name, {}) | table
        async with daemon_inside(written):
            path = written["rpc"]["socket"]
            await kiosk.up(path)
            yield Venue(shop, pos, path)


TABLE: Final = {
    "invalid_params": (-32602, None),
    "session_unavailable": (-32000, "failed"),
    "too_large": (-32001, None),
    "overloaded": (-32002, None),
    "forbidden": (-32003, None),
    "unsupported": (-32004, None),
    "idempotency_conflict": (-32005, None),
    "shutting_down": (-32006, None),
    "unknown_session": (-32007, None),
    "rejected": (1001, "rejected"),
    "not_found": (1002, "rejected"),
    "out_of_stock": (1003, "rejected"),
    "unauthorised": (1004, "rejected"),
    "conflict": (1005, "rejected"),
    "outcome_unknown": (1006, "unknown"),
    "expired": (1007, "failed"),
    "vendor_unavailable": (1008, "failed"),
}
"""Code and state of each kind, as the contract's section 2 has them."""
RETRYABLE: Final = {
    "session_unavailable",
    "overloaded",
    "shutting_down",
    "outcome_unknown",
    "expired",
    "vendor_unavailable",
}


def is_row(error: dict[str, Any], kind: str, *, command: bool) -> None:
    """The error is this row of the table, with every member that its data must have."""
    code, state = TABLE[kind]
    assert error["code"] == code
    assert error["message"]
    assert set(error["data"]) >= kiosk.MEMBERS
    told = {name: error["data"][name] for name in ("kind", "state", "retryable")}
    assert told == {"kind": kind, "state": state, "retryable": kind in RETRYABLE}
    assert (error["data"]["command_id"] is not None) == command


async def test_a_session_that_is_down_and_a_caller_that_will_not_wait(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        await bar.pos.stop_listening()
        bar.pos.drop()
        await until(lambda: not bar.pos.connections)
        params = kiosk.create("key", when_offline="fail", timeout=30)
        async with kiosk.kiosk(bar.path) as one:
            while (await one.result("session.get", {"session": "bar"}))["session"]["state"] == "up":
                await asyncio.sleep(0.01)  # pragma: no cover
        error = await bar.error(params=params)
        is_row(error, "session_unavailable", command=True)
        assert (await kiosk.row_of(bar.path, "key"))["state"] == "failed"
        quote = await bar.error("order.list", {"when_offline": "fail"})
        assert quote["code"] == -32000
        assert bar.shop.requests == []


async def test_the_timeout_passes_before_anything_is_sent(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        await bar.pos.stop_listening()
        bar.pos.drop()
        await until(lambda: not bar.pos.connections)
        is_row(await bar.error(params=kiosk.create("key", timeout=0.2)), "expired", command=True)
        await bar.pos.listen_again()
        await kiosk.up(bar.path)
        assert bar.shop.requests == []


async def test_sent_and_not_answered(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.SILENT)
        is_row(await bar.error(params=kiosk.create("key", timeout=1)), "outcome_unknown", command=True)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("order.list", {}),
        ("order.quote", {"order": kiosk.create()["order"]}),
        ("order.get", {"order_id": "a60fba87-58ec-4b12-b71c-57572036c6bc"}),
        ("user.lookup", {"pin": planted.WRONG_PIN}),
    ],
)
async def test_a_read_that_is_not_answered_had_no_effect(method: str, params: dict[str, Any], artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.SILENT)
        is_row(await bar.error(method, params | {"timeout": 0.2}), "vendor_unavailable", command=True)
        assert await kiosk.rows(bar.path) == []


async def test_the_vendor_says_no(artifacts: Path) -> None:
    codes = {"21": "unauthorised", "22": "conflict"}
    async with venue(artifacts, result_codes=codes) as bar:
        for code, kind in ((20, "rejected"), (21, "unauthorised"), (22, "conflict")):
            bar.pos.faults.plan(Fault.UNKNOWN_RESULT_CODE, result_code=code)
            error = await bar.error(params=kiosk.create(f"key-{code}"))
            is_row(error, kind, command=True)
            assert error["data"]["vendor_code"] == code
            assert error["data"]["vendor_message"] == "Something that no page names."


async def test_not_found_and_out_of_stock(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        error = await bar.error("order.update", kiosk.update("a60fba87-58ec-4b12-b71c-57572036c6bc", "key"))
        is_row(error, "not_found", command=True)
        assert error["data"]["vendor_code"] == 4
        oysters = {"id": "1", "product": "1402", "name": "Oysters", "quantity": 1}
        params = kiosk.create("oysters")
        params["order"]["lines"] = [oysters]
        error = await bar.error(params=params)
        is_row(error, "out_of_stock", command=True)
        assert error["data"]["details"] == {"products": [{"product": "1402", "modifier": None, "name": "Oysters"}]}
        error = await bar.error("user.lookup", {"pin": planted.WRONG_PIN})
        is_row(error, "not_found", command=True)
        assert planted.WRONG_PIN not in json.dumps(error)


async def test_invalid_params_lists_every_fault_and_writes_nothing(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        params = kiosk.create("key", timeout=0.01, colour="red", wait="yes", options={"device_id": 5, "tip": 1})
        params["order"] |= {"covers": -1, "total": "12.00"}
        params["order"]["lines"][0] |= {"quantity": 1.5, "unit_price": "4.505", "name": "x" * 51}
        error = await bar.error(params=params)
        is_row(error, "invalid_params", command=False)
        paths = {fault["path"] for fault in error["data"]["details"]}
        expected = {"timeout", "colour", "wait", "order.covers", "order.total", "order.lines[0].quantity"}
        assert paths >= expected | {"options.device_id", "options.tip"}
        assert any(path.startswith("order.lines[0].unit_price") for path in paths)
        assert all(fault["message"] for fault in error["data"]["details"])
        too_long = kiosk.create("key")
        too_long["order"]["lines"][0]["name"] = "x" * 51
        is_row(await bar.error(params=too_long), "invalid_params", command=False)
        for timeout in (0.09, 601, "NaN", None, -1, True):
            is_row(await bar.error(params=kiosk.create("key", timeout=timeout)), "invalid_params", command=False)
        for key in ("", "x" * 129, 5, None):
            refused = await kiosk.ask(bar.path, "order.create", kiosk.create() | {"idempotency_key": key})
            assert key is None or refused["error"]["code"] == -32602
        assert {row["state"] for row in await kiosk.rows(bar.path)} <= {"succeeded"}


async def test_unsupported_names_what_there_is_and_the_setting(artifacts: Path) -> None:
    async with venue(artifacts, message_types={}) as bar:
        order_id = "a60fba87-58ec-4b12-b71c-57572036c6bc"
        for method, params, setting in (
            ("payment.create", kiosk.pay(order_id, "key"), "create_payment"),
            ("order.quote", {"order": kiosk.create()["order"]}, "simulate_order"),
            ("order.get", {"order_id": order_id}, "get_order"),
        ):
            error = await bar.error(method, params)
            is_row(error, "unsupported", command=False)
            assert f"message_types.{setting}" in error["message"]
            assert error["data"]["details"]["setting"] == f"sessions.bar.message_types.{setting}"
            assert method not in error["data"]["details"]["supported"]
            assert "order.create" in error["data"]["details"]["supported"]
        for method, params in (("menu.get", {}), ("order.cancel", {"order_id": order_id, "reason": "no"})):
            is_row(await bar.error(method, params), "unsupported", command=False)
        assert await kiosk.rows(bar.path) == []


async def test_idempotency_conflict(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        first = (await kiosk.ask(bar.path, "order.create", kiosk.create("key")))["result"]
        error = await bar.error("order.update", kiosk.update(first["result"]["order"]["id"], "key"))
        is_row(error, "idempotency_conflict", command=True)
        assert error["data"]["command_id"] == first["command_id"]
        row = await kiosk.row_of(bar.path, "key")
        assert error["data"]["details"] == {
            "method": "order.create",
            "state": "succeeded",
            "command_id": first["command_id"],
            "accepted_at": row["accepted_at"],
        }


async def test_unknown_session_and_more_than_one(artifacts: Path) -> None:
    async with venue(artifacts, {"sessions": {"terrace": session(url="ws://127.0.0.1:1/")}}) as bar:
        error = await bar.error(params=kiosk.create("key", session="cellar"))
        is_row(error, "unknown_session", command=False)
        is_row(await bar.error("session.get", {"session": "cellar"}), "unknown_session", command=False)
        error = await bar.error(params=kiosk.create("key"))
        is_row(error, "invalid_params", command=False)
        assert error["data"]["details"][0]["path"] == "session"


async def test_more_in_flight_than_a_session_takes(artifacts: Path) -> None:
    async with venue(artifacts, max_in_flight=3) as bar:
        bar.pos.faults.plan(Fault.LATE, count=3, seconds=0.5)
        async with asyncio.TaskGroup() as tasks:
            calls = [
                tasks.create_task(kiosk.ask(bar.path, "order.create", kiosk.create(f"key-{number}")))
                for number in range(3)
            ]
            await until(lambda: len(bar.shop.requests) == 3)
            error = await bar.error(params=kiosk.create("one-more"))
            is_row(error, "overloaded", command=False)
        assert all(call.result()["result"]["state"] == "succeeded" for call in calls)
        assert (await kiosk.ask(bar.path, "order.create", kiosk.create("one-more")))["result"]
        assert len(bar.shop.acts) == 4


async def test_more_in_flight_than_a_client_may_have(artifacts: Path) -> None:
    async with venue(artifacts, {"rpc": {"max_in_flight": 2}}) as bar, kiosk.kiosk(bar.path) as greedy:
        bar.pos.faults.plan(Fault.LATE, count=2, seconds=0.5)
        numbers = [greedy.begin("order.create", kiosk.create(f"key-{number}")) for number in range(5)]
        answers = [await greedy.answer(number) for number in numbers]
        assert [("error" in answer and answer["error"]["code"]) or 0 for answer in answers] == [0, 0] + [-32002] * 3
        assert answers[-1]["error"]["data"]["kind"] == "overloaded"
        assert (await kiosk.ask(bar.path, "session.list"))["result"]


async def test_more_clients_than_may_be(artifacts: Path) -> None:
    async with venue(artifacts, {"rpc": {"max_clients": 3}}) as bar:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(kiosk.kiosk(bar.path)) for _ in range(4)]
            for client in clients[:3]:
                await client.result("session.list")
            refused = await clients[3].hear()
            assert (refused["error"]["code"], refused["error"]["data"]["kind"]) == (-32002, "overloaded")
            for client in clients[:3]:
                await client.result("session.list")
        assert (await kiosk.ask(bar.path, "session.list"))["result"]


AS_NOBODY: Final = """
import json, os, socket, sys
path, nobody, *calls = sys.argv[1:]
os.setgroups([])
os.setgid(int(nobody))
os.setuid(int(nobody))
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(path)
    lines = sock.makefile("rwb")
    for call in calls:
        lines.write(call.encode() + b"\\n")
        lines.flush()
        sys.stdout.write(lines.readline().decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_forbidden_says_who_and_which_group_and_writes_nothing(artifacts: Path) -> None:
    rules = [{"group": "nogroup", "methods": ["order.list", "session.*", "command.*"]}]
    rules += [{"group": "daemon", "methods": ["order.*"]}]
    async with venue(artifacts, {"rpc": {"mode": "0666", "access": rules}}) as bar:
        Path(bar.path).parent.chmod(0o755)
        await kiosk.ask(bar.path, "order.create", kiosk.create("root"))
        [row] = await kiosk.rows(bar.path)
        calls = [
            ("order.list", {}),
            ("order.create", kiosk.create("key")),
            ("event.subscribe", {}),
            ("vendor.request", {"request": {"MessageType": 1, "Payload": {}}}),
            ("session.reconnect", {"session": "bar"}),
            ("command.resolve", {"command_id": row["command_id"], "state": "failed", "note": "x"}),
            ("command.retry", {"command_id": row["command_id"]}),
            ("rpc.discover", {}),
        ]
        lines = [json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": given}) for name, given in calls]
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", AS_NOBODY, bar.path, str(NOBODY), *lines],
            stdout=subprocess.PIPE,
            check=True,
            timeout=20,
        )
        answers = dict(zip([name for name, _ in calls], map(json.loads, ended.stdout.splitlines()), strict=True))
        assert answers.pop("order.list")["result"]["state"] == "succeeded"
        assert answers.pop("rpc.discover")["result"]["openrpc"]
        for method, answer in answers.items():
            is_row(
                answer["error"] | {"data": answer["error"]["data"] | {"command_id": None}}, "forbidden", command=False
            )
            assert str(NOBODY) in answer["error"]["message"], method
        assert "daemon" in answers["order.create"]["error"]["message"]
        assert [one["idempotency_key"] for one in await kiosk.rows(bar.path)] == ["root"]


async def test_shutting_down_while_it_drains(artifacts: Path) -> None:
    shop = Shop()
    async with simulator.serve(shop) as pos:
        async with daemon_process(artifacts, tables(artifacts, {"bar": session(url=pos.url)})) as daemon:
            await kiosk.up(daemon.socket)
            pos.faults.plan(Fault.LATE, seconds=3)
            async with kiosk.kiosk(daemon.socket) as one:
                first = one.begin("order.create", kiosk.create("first"))
                await until(lambda: shop.requests)
                ending = asyncio.create_task(daemon.terminate())

                async def drains() -> bool:
                    return "error" in await one.answer(one.begin("order.list", {}))

                await until(drains)
                error = await one.error("order.create", kiosk.create("too-late"))
                is_row(error, "shutting_down", command=False)
                assert (await one.answer(first))["result"]["state"] == "succeeded"
            assert await ending == 0
            assert len(shop.acts) == 1


async def test_what_json_rpc_itself_refuses(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.path) as one:
        for line, code in (
            (b"{", -32700),
            (b'{"jsonrpc": "2.0", "method": 1, "id": 1}', -32600),
            (b'{"jsonrpc": "2.0", "method": "order.eat", "id": 1}', -32601),
            (b'{"jsonrpc": "2.0", "method": "order.create", "params": [1], "id": 1}', -32602),
        ):
            one.say(line + b"\n")
            assert (await one.hear())["error"]["code"] == code


BAD_LINES: Final = {
    "5,000 brackets": b"[" * 5_000 + b"]" * 5_000,
    "5,000 braces": b'{"a":' * 5_000,
    "deep params": b'{"jsonrpc":"2.0","id":1,"method":"order.create","params":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "invalid UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}',
    "NaN": b'{"jsonrpc":"2.0","id":1,"method":"order.list","params":{"timeout":NaN}}',
    "Infinity": b'{"jsonrpc":"2.0","id":1,"method":"order.list","params":{"timeout":-Infinity}}',
    "1e400": b'{"jsonrpc":"2.0","id":1,"method":"order.list","params":{"timeout":1e400}}',
    "duplicate keys": b'{"jsonrpc":"2.0","id":1,"method":"order.list","params":{"mine":true,"mine":false}}',
    "lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"order.list","params":{"table":"\\ud800"}}',
    "5,000 digits": b'{"jsonrpc":"2.0","id":1,"method":"order.list","params":{"timeout":' + b"9" * 5_000 + b"}}",
    "null bytes": b"\x00" * 100,
}


@pytest.mark.parametrize("name", BAD_LINES)
async def test_a_bad_line_is_answered_and_the_connection_lives(name: str, artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.path) as rude, kiosk.kiosk(bar.path) as polite:
        rude.say(BAD_LINES[name] + b"\n")
        error = (await rude.hear())["error"]
        assert error["code"] == -32700
        assert len(json.dumps(error)) < 500
        assert (await rude.result("order.create", kiosk.create("rude")))["state"] == "succeeded"
        assert (await polite.result("order.create", kiosk.create("polite")))["state"] == "succeeded"


async def test_a_line_too_long_is_answered_and_only_its_connection_closed(artifacts: Path) -> None:
    async with venue(artifacts) as bar, kiosk.kiosk(bar.path) as rude, kiosk.kiosk(bar.path) as polite:
        fits = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "session.list"}).encode().ljust(MEBIBYTE) + b"\n"
        rude.say(fits)
        assert (await rude.hear())["result"]["sessions"]
        rude.say(fits[:-1] + b" \n")
        error = (await rude.hear())["error"]
        assert (error["code"], error["data"]["kind"]) == (-32001, "too_large")
        with pytest.raises(kiosk.Gone):
            await rude.hear()
        assert (await polite.result("order.create", kiosk.create("polite")))["state"] == "succeeded"


async def test_half_a_line_and_gone_is_nothing(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        whole = json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "order.create", "params": kiosk.create("half")}
        ).encode()
        for place in (1, len(whole) // 2, len(whole) - 1):
            async with kiosk.kiosk(bar.path) as rude:
                rude.say(whole[:place])
        assert (await kiosk.ask(bar.path, "order.create", kiosk.create("whole")))["result"]
        assert [row["idempotency_key"] for row in await kiosk.rows(bar.path)] == ["whole"]


async def test_a_client_that_vanishes_at_once_leaves_its_command_to_its_outcome(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        async with kiosk.kiosk(bar.path) as hasty:
            hasty.begin("order.create", kiosk.create("hasty"))
            await until(lambda: bar.shop.requests)
        async with asyncio.timeout(5):
            while (await kiosk.row_of(bar.path, "hasty"))["state"] != "succeeded":
                await asyncio.sleep(0.01)
        assert len(bar.shop.acts) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/powerepos/v1/auth", b"{" * 70_000, 413),
        ("POST", "/api/powerepos/v1/auth", b"[" * 5_000, 400),
        ("POST", "/api/powerepos/v1/auth", b"\xff", 400),
        ("POST", "/api/powerepos/v1/auth", b'{"AuthSecret": 5, "POSRemoteID": [], "ProviderOutletID": null}', 401),
        ("POST", "/nowhere", b"", 404),
        ("GET", "/api/powerepos/v1/auth", b"", 405),
        ("GET", "/healthz", b"", 200),
    ],
)
async def test_bad_input_at_the_http_door(method: str, path: str, body: bytes, status: int, artifacts: Path) -> None:
    port = free_port()
    config = tables(artifacts, {"bar": listening()}, inbound=inbound(port))
    async with daemon_inside(config):
        assert await request(port, method, path, body) == status
        assert await request(port, "GET", "/readyz", b"") == 503
        async with simulator.dial(Shop(), f"http://127.0.0.1:{port}", kiosk.CREDENTIALS):
            await kiosk.up(config["rpc"]["socket"])


async def request(port: int, method: str, path: str, body: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body)
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status
