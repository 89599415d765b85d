"""A real daemon in both roles, fed every planted secret, at the most talkative log level: nothing of them comes out."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ordernpay.client import Client, RpcFailure, connect
from ordernpay.jsontext import JsonObject, dumps
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.bill import User
from ordernpay.simulator.shop import Shop
from tests.support import planted
from tests.support.daemons import DaemonProcess, session, tables
from tests.support.wait import until
from tests.test_no_secret_anywhere import found_in, written

CREDENTIALS = simulator.Credentials(planted.PROVIDER_OUTLET_ID, planted.POS_REMOTE_ID, planted.AUTH_SECRET)
HANDSHAKE = {
    "provider_outlet_id": planted.PROVIDER_OUTLET_ID,
    "pos_remote_id": planted.POS_REMOTE_ID,
    "auth_secret": planted.AUTH_SECRET,
}
LINE: JsonObject = {"product": "1203", "name": "Soup"}


class Parrot(Shop):
    """A POS that repeats in whatever it answers every secret that it was given."""

    def answer(self, frame: str) -> Any:
        decision = super().answer(frame)
        message: Any = json.loads(frame)
        decision.response["Echo"] = [message, frame, f"by {message['UserIdentifier']}"]
        said = [message["UserIdentifier"], message["Payload"].get("PIN")]
        if decision.response["ResultCode"] != 0:
            decision.response["ErrorMessage"] = f"No: {', '.join(str(one) for one in said if one)}"
        return decision


def parrot() -> Parrot:
    return Parrot(
        staff=(User(planted.USER, "Asha", planted.PIN), User("0b7c1b7e-1111-4222-8333-444455556666", "Ben", "4816")),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def talkative(directory: Path, config: dict[str, Any]) -> AsyncIterator[tuple[DaemonProcess, Client]]:
    daemon = DaemonProcess(directory, config, arguments=("--log-level", "debug"))
    await daemon.start()
    try:
        async with connect(daemon.socket) as client:
            yield daemon, client
    finally:
        await daemon.kill()


async def up(client: Client) -> bool:
    told: Any = await client.call("session.list")
    return all(one["state"] == "up" for one in told["sessions"])


async def feed(client: Client, shop: Shop) -> None:
    """Every way in which a secret can come in, with outcomes of every kind."""
    order = shop.open_order(table="14").sales_transaction_id
    known: Any = await client.call("user.lookup", {"pin": planted.PIN})
    assert known["result"]["name"] == "Asha"
    refused: list[tuple[str, JsonObject]] = [
        ("user.lookup", {"pin": planted.WRONG_PIN}),
        ("user.lookup", {"pin": [planted.WRONG_PIN]}),
        ("user.lookup", {"pin": planted.WRONG_PIN * 3}),
        ("order.update", {"order_id": order, "lines": [LINE], "options": {"user": planted.WRONG_PIN}}),
        ("order.update", {"order_id": order, "lines": [LINE], "options": {"user": planted.WRONG_PIN * 9}}),
        (
            "vendor.request",
            {"request": {"MessageType": 0, "Payload": {"PIN": planted.WRONG_PIN}, "UserIdentifier": None}},
        ),
        (
            "vendor.request",
            {"request": {"MessageType": 99, "Payload": {"a": [{"pin": planted.PIN}]}, "PIN": planted.PIN}},
        ),
    ]
    for number, (method, params) in enumerate(refused):
        with pytest.raises(RpcFailure) as caught:
            await client.call(method, {**params, "idempotency_key": f"refused-{number}"})
        assert "PLANTED" not in dumps(caught.value.data)
        assert "PLANTED" not in str(caught.value)
    update: JsonObject = {"order_id": order, "lines": [LINE], "options": {"user": planted.PIN}}
    await client.call("order.update", {**update, "idempotency_key": "update"})
    native: JsonObject = {"MessageType": 0, "Payload": {"PIN": planted.PIN}, "UserIdentifier": None}
    await client.call("vendor.request", {"request": native, "idempotency_key": "native"})


async def feed_late(client: Client, pos: Any) -> None:
    """A secret in an answer that comes when nobody waits for it any more."""
    pos.faults.plan(simulator.Fault.LATE, seconds=0.6)
    native: JsonObject = {"MessageType": 0, "Payload": {"PIN": planted.WRONG_PIN}, "UserIdentifier": None}
    with pytest.raises(RpcFailure) as caught:
        await client.call("vendor.request", {"request": native, "timeout": 0.2, "idempotency_key": "late"})
    assert caught.value.code == 1006
    command_id = caught.value.command_id

    async def settled() -> bool:
        return (await client.call("command.get", {"command_id": command_id}))["state"] == "rejected"

    await until(settled)


async def dump(directory: Path, client: Client, port: int) -> None:
    """All that can be asked for, beside what the daemon writes by itself."""
    for method, params in (
        ("event.list", {"limit": 1000}),
        ("command.list", {"limit": 1000}),
        ("daemon.status", {}),
        ("session.list", {}),
    ):
        told = await client.call(method, params)  # type: ignore[arg-type]
        (directory / f"{method}.json").write_text(dumps(told), encoding="utf-8")
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/metrics")
        (directory / "metrics.txt").write_text(answer.text, encoding="utf-8")


def nothing_in(directory: Path) -> None:
    names = {path.name for path in written(directory)}
    assert {"daemon.log", "event.list.json", "command.list.json", "metrics.txt", "journal.sqlite3"} <= names
    assert [place for path in written(directory) for place in found_in(path)] == []


async def test_dialling(artifacts: Path) -> None:
    shop, port = parrot(), free_port()
    async with simulator.serve(shop, auth=CREDENTIALS) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url, **HANDSHAKE)}, inbound={"port": port})
        async with talkative(artifacts, config) as (daemon, client):
            await until(lambda: up(client))
            await feed(client, shop)
            await feed_late(client, pos)
            await dump(artifacts, client, port)
            await daemon.kill()  # the write-ahead log stays
    nothing_in(artifacts)


async def test_listening(artifacts: Path) -> None:
    shop, port = parrot(), free_port()
    config = tables(artifacts, {"bar": session(role="listen", **HANDSHAKE)}, inbound={"port": port})
    async with talkative(artifacts, config) as (daemon, client):
        wrong = simulator.Credentials(planted.PROVIDER_OUTLET_ID, planted.POS_REMOTE_ID, planted.AUTH_SECRET + "x")
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"http://127.0.0.1:{port}{simulator.AUTH_PATH}", json=wrong.as_request())
            assert answer.status_code == 401
            answer = await http.get(f"http://127.0.0.1:{port}/?token={planted.AUTH_SECRET}")
            assert answer.status_code >= 400
        async with simulator.dial(shop, f"http://127.0.0.1:{port}", CREDENTIALS):
            await until(lambda: up(client))
            await feed(client, shop)
            await dump(artifacts, client, port)
        await daemon.kill()
    nothing_in(artifacts)


async def test_refused(artifacts: Path) -> None:
    port = free_port()
    other = simulator.Credentials(planted.PROVIDER_OUTLET_ID, planted.POS_REMOTE_ID, "another secret")
    async with simulator.serve(parrot(), auth=other) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url, **HANDSHAKE)}, inbound={"port": port})
        async with talkative(artifacts, config) as (_, client):

            async def refused() -> bool:
                told: Any = await client.call("session.get", {"session": "bar"})
                return bool(told["session"]["state"] == "refused")

            await until(refused)
            await dump(artifacts, client, port)
            await asyncio.sleep(0)
    nothing_in(artifacts)
