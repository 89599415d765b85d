"""Who holds a connection, for how long, and who gives way."""

import asyncio
import resource

import pytest
from attrs import define

from ordernpay.inbound import connections as module
from ordernpay.inbound.connections import GRACE, SILENT_GRACE, Connection, Connections, counted, slots


@define(eq=False)
class Wire:
    """A transport that knows whether it was hung up on."""

    open: bool = True

    def abort(self) -> None:
        self.open = False


@define
class Clock:
    at: float = 100.0

    def __call__(self) -> float:
        return self.at


def accept(connections: Connections, address: str = "192.0.2.1") -> tuple[Connection, Wire]:
    connection, wire = connections.add(address), Wire()
    connection.made(wire)
    return connection, wire


async def newcomer(connections: Connections, address: str = "192.0.2.1") -> tuple[Connection, Wire]:
    async with asyncio.timeout(5):
        await connections.room()
    return accept(connections, address)


async def test_where_the_slots_are_taken_the_oldest_gives_way() -> None:
    clock = Clock()
    connections = Connections(clock, most=3)
    wires = [accept(connections)[1] for _ in range(3)]
    clock.at += SILENT_GRACE
    wires += [(await newcomer(connections))[1] for _ in range(2)]
    assert [wire.open for wire in wires] == [False, False, True, True, True]
    assert connections.strangers == 3
    assert connections.put_out["newcomer"] == 2


async def test_who_has_said_something_has_more_time_than_who_is_silent() -> None:
    clock = Clock()
    connections = Connections(clock, most=3)
    talking, silent, third = (accept(connections) for _ in range(3))
    talking[0].heard = third[0].heard = True
    clock.at += SILENT_GRACE
    await newcomer(connections)
    assert (talking[1].open, silent[1].open) == (True, False)
    clock.at += GRACE
    await newcomer(connections)
    await newcomer(connections)
    assert (talking[1].open, third[1].open) == (False, True)  # the silent newcomer before the second that talks


async def test_a_newcomer_waits_while_nobody_has_had_its_time() -> None:
    connections = Connections(Clock(), most=1)
    first = accept(connections)
    waiting = asyncio.create_task(connections.room())
    await asyncio.sleep(SILENT_GRACE)  # on the loop's clock, not on that of the connections
    assert not waiting.done()
    assert first[1].open
    connections.remove(first[0])
    async with asyncio.timeout(5):
        await waiting


async def test_an_address_with_more_than_its_share_gives_way_before_older_ones() -> None:
    clock = Clock()
    connections = Connections(clock, most=8)
    quiet = [accept(connections, f"192.0.2.{number}")[1] for number in range(4)]
    greedy = []
    for _ in range(20):
        greedy.append((await newcomer(connections, "198.51.100.7"))[1])
        clock.at += SILENT_GRACE
    assert all(wire.open for wire in quiet)
    assert [wire.open for wire in greedy] == [False] * 16 + [True] * 4


async def test_many_addresses_with_one_connection_each_do_not_outweigh_a_venue_behind_one() -> None:
    clock = Clock()
    connections = Connections(clock, most=16)
    old = [accept(connections, f"198.51.100.{number}")[1] for number in range(14)]
    clock.at += SILENT_GRACE
    venue = [(await newcomer(connections))[1] for _ in range(4)]  # no more than its share
    assert all(wire.open for wire in venue)
    assert [wire.open for wire in old] == [False] * 2 + [True] * 12


def test_a_stranger_is_hung_up_on_at_its_deadline() -> None:
    clock = Clock()
    connections = Connections(clock)
    early, late = accept(connections), accept(connections)
    connections.allow(late[0], 60.0)
    clock.at += connections.head_seconds
    connections.expire()
    assert (early[1].open, late[1].open, connections.strangers) == (False, True, 1)
    clock.at += 60.0
    connections.expire()
    assert not late[1].open
    assert connections.put_out["deadline"] == 2


async def test_what_is_proved_is_outside_of_slots_and_deadlines() -> None:
    clock = Clock()
    connections = Connections(clock, most=2)
    links = [accept(connections) for _ in range(2)]
    for connection, _ in links:
        connections.prove(connection)
    assert (connections.strangers, connections.proved) == (0, 2)
    for _ in range(50):
        await newcomer(connections)
        clock.at += SILENT_GRACE
    clock.at += 3_600.0
    connections.expire()
    assert all(wire.open for _, wire in links)
    connection, wire = links[0]
    connections.unprove(connection, 5.0)  # its session uses it no more: what it still holds is a stranger's
    assert (connections.strangers, connections.proved) == (1, 1)
    clock.at += 5.0
    connections.expire()
    assert not wire.open


def test_a_proof_that_comes_too_late_holds_nothing() -> None:
    connections = Connections(Clock())
    connection, _ = accept(connections)
    connections.remove(connection)
    connections.remove(connection)
    connections.prove(connection)
    connections.unprove(connection, 5.0)
    connections.hold(connection, 1)
    assert (connections.strangers, connections.proved, connection.body) == (0, 0, 0)


def test_a_transport_that_comes_after_the_end_is_hung_up_on() -> None:
    connections = Connections(Clock(), most=1)
    connection, wire = connections.add("192.0.2.1"), Wire()
    connections.make_room()
    connection.made(wire)
    assert not wire.open


def test_bodies_share_their_memory_and_the_oldest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_BYTES", 100)
    connections = Connections(Clock())
    silent = accept(connections)[1]
    first, second, third = (accept(connections) for _ in range(3))
    connections.hold(first[0], 60)
    connections.hold(second[0], 40)
    assert first[1].open
    connections.hold(third[0], 10)
    assert (first[1].open, second[1].open, silent.open) == (False, True, True)
    connections.hold(third[0], 50)  # what the first held is free again
    assert second[1].open
    connections.remove(second[0])
    connections.hold(third[0], 40)
    assert third[1].open
    assert connections.put_out["memory"] == 1


def test_who_is_handled_is_proved_meanwhile_and_its_body_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_BYTES", 100)
    monkeypatch.setattr(module, "HANDLED_BYTES", 150)
    connections = Connections(Clock(), most=1)
    first, second = accept(connections), None
    connections.hold(first[0], 100)
    with connections.handling(first[0]) as room:
        assert room
        assert connections.strangers == 0
        second = accept(connections)
        connections.hold(second[0], 100)
        assert first[1].open
        with connections.handling(second[0]) as more:
            assert not more
        connections.hold(second[0], 50)
        with connections.handling(second[0]) as more:
            assert more
    assert connections.proved == 0


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("nonsense" * 10_000, ""),
    ],
)
def test_what_is_counted_for_an_address(address: str, told: str) -> None:
    assert counted(address) == told


@pytest.mark.parametrize(("limit", "told"), [(48, 12), (1024, 128), (16384, 128), (8, 4)])
def test_descriptors_are_left_for_everybody_else(limit: int, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert slots() == told
