"""Each fault is what it says, in both roles of the POS: what was done, and what the other end sees."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ordernpay.simulator.order_n_pay import Fault, Faults, Planned
from ordernpay.simulator.shop import Shop
from tests.simulator.provider import GoneError, Peer, Wire, wired
from tests.simulator.requests import create, look_up, product, until

Message = dict[str, Any]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(params=["server", "client"])
async def wire(request: pytest.FixtureRequest, shop: Shop) -> AsyncIterator[Wire]:
    async with wired(request.param, shop, Faults()) as wire:
        yield wire


async def receive(peer: Peer) -> Message:
    return dict(json.loads(await peer.receive_text()))


async def gone(peer: Peer) -> int | None:
    with pytest.raises(GoneError) as raised:
        await peer.receive_text()
    return raised.value.code


async def assert_alone(peer: Peer) -> None:
    """No other answer is on its way: the next one is that of the next request."""
    probe = look_up("9071")
    await peer.send(probe)
    assert (await receive(peer))["RequestID"] == probe["RequestID"]


async def test_without_a_fault_requests_are_answered(wire: Wire, shop: Shop) -> None:
    peer = await wire.peer()
    message = create()
    await peer.send(message)
    answer = await receive(peer)
    assert (answer["RequestID"], answer["ResultCode"], answer["MessageType"]) == (message["RequestID"], 0, 11)
    assert [act.request_id for act in shop.acts] == [message["RequestID"]]


@pytest.mark.parametrize(("fault", "acts"), [(Fault.DROP_BEFORE, 0), (Fault.DROP_AFTER, 1)])
async def test_drop(wire: Wire, shop: Shop, fault: Fault, acts: int) -> None:
    wire.pos.faults.plan(fault)
    peer = await wire.peer()
    message = create()
    await peer.send(message)
    assert await gone(peer) in {1005, 1006}
    assert (len(shop.acts), len(shop.requests)) == (acts, 1)
    peer = await wire.peer()
    await peer.send(message)
    assert (await receive(peer))["ResultCode"] == 0
    assert (len(shop.acts), shop.repeats) == (1, acts)


async def test_nothing_is_done_for_requests_behind_a_cut(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.DROP_BEFORE)
    peer = await wire.peer()
    with contextlib.suppress(Exception):
        for _ in range(5):
            await peer.send(create())
    await gone(peer)
    assert shop.acts == []
    assert len(shop.requests) == 1


async def test_late_does_not_hold_up_others(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.LATE, message_type=11, seconds=0.2)
    peer = await wire.peer()
    slow, quick = create(), look_up("9071")
    await peer.send(slow)
    await peer.send(quick)
    assert [(await receive(peer))["RequestID"] for _ in range(2)] == [quick["RequestID"], slow["RequestID"]]
    assert len(shop.acts) == 1


async def test_late_answers_over_the_newest_connection(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.LATE, seconds=0.05)
    first = await wire.peer()
    message = create()
    await first.send(message)
    await until(lambda: bool(shop.acts))
    wire.pos.drop()
    await gone(first)
    assert (await receive(await wire.peer()))["RequestID"] == message["RequestID"]


@pytest.mark.parametrize(("fault", "acts"), [(Fault.SILENT, 1), (Fault.DEAF, 0)])
async def test_no_answer(wire: Wire, shop: Shop, fault: Fault, acts: int) -> None:
    wire.pos.faults.plan(fault)
    peer = await wire.peer()
    await peer.send(create())
    await assert_alone(peer)
    assert (len(shop.acts), len(shop.requests)) == (acts, 2)


async def test_garbage(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.GARBAGE)
    peer = await wire.peer()
    await peer.send(create())
    with pytest.raises(json.JSONDecodeError):
        await receive(peer)
    assert len(shop.acts) == 1


async def test_foreign_message_type(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.FOREIGN_MESSAGE_TYPE)
    peer = await wire.peer()
    await peer.send(create())
    answer = await receive(peer)
    assert (answer["MessageType"], answer["ResultCode"], len(shop.acts)) == (2, 0, 1)


async def test_twice(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.TWICE)
    peer = await wire.peer()
    await peer.send(create())
    assert await receive(peer) == await receive(peer)
    assert len(shop.acts) == 1
    await assert_alone(peer)


async def test_for_someone_else(wire: Wire) -> None:
    wire.pos.faults.plan(Fault.FOR_SOMEONE_ELSE)
    peer = await wire.peer()
    message = create()
    await peer.send(message)
    foreign, own = await receive(peer), await receive(peer)
    assert foreign["RequestID"] != own["RequestID"] == message["RequestID"]
    assert foreign["Payload"] == own["Payload"]


async def test_payload_null(wire: Wire) -> None:
    wire.pos.faults.plan(Fault.PAYLOAD_NULL)
    peer = await wire.peer()
    await peer.send(create())
    answer = await receive(peer)
    assert (answer["ResultCode"], answer["Payload"]) == (0, None)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (create(), {"Order", "OutOfStockProducts"}),
        (look_up("9071"), {"UserID", "UserName", "CanMakePayments"}),
        (look_up("0000"), {"Order", "OutOfStockProducts"}),
    ],
)
async def test_payload_nulls(wire: Wire, message: Message, names: set[str]) -> None:
    wire.pos.faults.plan(Fault.PAYLOAD_NULLS)
    peer = await wire.peer()
    await peer.send(message)
    assert (await receive(peer))["Payload"] == dict.fromkeys(names)


async def test_unknown_result_code(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.UNKNOWN_RESULT_CODE, result_code=42)
    peer = await wire.peer()
    message = create()
    await peer.send(message)
    answer = await receive(peer)
    assert (answer["RequestID"], answer["ResultCode"], answer["Payload"]) == (message["RequestID"], 42, None)
    assert shop.acts == []


async def test_reorder(wire: Wire) -> None:
    wire.pos.faults.plan(Fault.REORDER)
    peer = await wire.peer()
    first, second = create(), create()
    await peer.send(first)
    await peer.send(second)
    assert [(await receive(peer))["RequestID"] for _ in range(2)] == [second["RequestID"], first["RequestID"]]


async def test_too_big(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.TOO_BIG)
    peer = await wire.peer()
    await peer.send(create())
    assert await gone(peer) == 1009
    assert shop.acts == []


async def test_unknown_fields(wire: Wire) -> None:
    wire.pos.faults.plan(Fault.UNKNOWN_FIELDS)
    peer = await wire.peer()
    await peer.send(create())
    answer = await receive(peer)
    assert set(answer) == {"addedByANewVersion", "requestID", "resultCode", "errorMessage", "messageType", "payload"}
    order = answer["payload"]["order"]
    assert {"addedByANewVersion", "ownedBy_UserID", "salesTransactionID"} <= set(order)
    assert order["products"][0]["pluIdentifier"] == "1203"


async def test_a_binary_frame_is_not_understood(wire: Wire, shop: Shop) -> None:
    peer = await wire.peer()
    await peer.send_bytes(b"{}")
    assert await gone(peer) == 1003
    assert shop.requests == []


def test_faults_befall_the_next_requests_of_their_type_in_the_order_planned() -> None:
    faults = Faults(Planned(Fault.DEAF, message_type=12), Planned(Fault.TWICE, count=2))
    faults.plan(Fault.LATE)
    met = [faults.take(message_type) for message_type in (11, 12, 11, 11, 11)]
    assert [planned and planned.fault for planned in met] == ["twice", "deaf", "twice", "late", None]
    assert faults.met == ["twice", "deaf", "twice", "late"]
    faults.plan(Fault.DEAF)
    faults.clear()
    assert faults.take(11) is None


def test_faults_are_listed_by_name() -> None:
    assert {"drop_before", "late", "too_big"} <= {str(fault) for fault in Fault}
    assert Fault("deaf") is Fault.DEAF


async def test_many_requests_of_one_connection_all_get_their_own_answer(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.LATE, count=10, seconds=0.01)
    peer = await wire.peer()
    messages = [create(product(Quantity=1 + number)) for number in range(40)]
    for message in messages:
        await peer.send(message)
    answers = {answer["RequestID"]: answer for answer in [await receive(peer) for _ in messages]}
    for message in messages:
        quantity = answers[message["RequestID"]]["Payload"]["Order"]["Products"][0]["Quantity"]
        assert quantity == message["Payload"]["Products"][0]["Quantity"]
    assert len(shop.acts) == len(messages)


async def test_an_answer_to_a_connection_that_is_gone_is_lost(wire: Wire, shop: Shop) -> None:
    wire.pos.faults.plan(Fault.REORDER)
    first = await wire.peer()
    await first.send(create())
    await until(lambda: bool(shop.acts))
    wire.pos.drop()
    await gone(first)
    second = await wire.peer()
    await assert_alone(second)
    await assert_alone(second)


async def test_what_is_no_request_is_answered_as_refused(wire: Wire, shop: Shop) -> None:
    peer = await wire.peer()
    await peer.send("not a request")
    answer = await receive(peer)
    assert (answer["RequestID"], answer["ResultCode"], shop.refusals) == (None, 3, 1)
