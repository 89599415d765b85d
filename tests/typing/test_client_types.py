"""Typed uses of `ordernpay.client` that mypy must accept: `assert_type` is checked when mypy reads this file."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

from ordernpay import client as package
from ordernpay.client import (
    FAILURES,
    Client,
    ConnectionLost,
    EventStream,
    NoDaemon,
    OrdernpayError,
    OutcomeUnknown,
    OutOfStock,
    RpcFailure,
    connect,
    default_socket,
    follow,
)
from ordernpay.jsontext import JsonObject, JsonValue


async def place(order: JsonObject, key: str) -> JsonObject:
    """A kiosk's order, as the README shows it."""
    async with connect("/run/ordernpay/ordernpay.sock") as client:
        assert_type(client, Client)
        answer = await client.call("order.create", {"idempotency_key": key, "order": order, "timeout": 5})
        assert_type(answer, JsonObject)
        return answer


async def look(path: Path | None) -> list[JsonObject]:
    """Events of a connection, and calls without params."""
    seen: list[JsonObject] = []
    async with connect(path) as client:
        assert_type(await client.call("daemon.status"), JsonObject)
        async with client.events(since=3, sessions=["bar"], kinds=("command.settled",)) as stream:
            assert_type(stream, EventStream)
            assert_type(stream.position, int)
            async for event in stream:
                assert_type(event, JsonObject)
                seen.append(event)
    return seen


async def watch() -> None:
    """Events without end."""
    events = follow(since=0, kinds=["session.down"])
    assert_type(events, AsyncGenerator[JsonObject, None])
    async for event in follow("/tmp/s", sessions=("bar",)):
        assert_type(event, JsonObject)


def told(error: OrdernpayError) -> str:
    """Errors, from the general to the particular."""
    match error:
        case OutcomeUnknown() | OutOfStock():
            assert_type(error.command_id, str | None)
            assert_type(error.details, JsonValue)
            return error.kind or ""
        case RpcFailure():
            assert_type(error.code, int)
            assert_type(error.retryable, bool)
            assert_type(error.data, JsonObject)
            return error.message
        case ConnectionLost():
            assert_type(error.sent, bool)
            return "lost"
        case NoDaemon():
            return "nobody"
    return str(error)


if TYPE_CHECKING:
    assert_type(FAILURES[1006], type[RpcFailure])
    assert_type(default_socket(), Path)


def test_the_errors_that_a_kiosk_catches_are_told_apart_at_run_time_too() -> None:
    assert told(OutcomeUnknown(1006, "sent", {"kind": "outcome_unknown"})) == "outcome_unknown"
    assert told(RpcFailure(-32603, "broken", {})) == "broken"
    assert told(ConnectionLost("gone")) == "lost"
    assert told(NoDaemon("nobody at /x")) == "nobody"
    assert told(OrdernpayError("other")) == "other"


def test_everything_that_the_package_offers_is_there() -> None:
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)
    assert set(FAILURES.values()) <= {
        getattr(package, name) for name in package.__all__ if name[0].isupper() and name != "FAILURES"
    }
