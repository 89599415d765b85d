"""Webhooks of ROS and Doshii: who may send them, what becomes of each, and what a 200 promises."""

import asyncio
import contextlib
import json
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ordernpay.simulator.ros import RosSimulator
from ordernpay.simulator.ros.notices import Casing, Style, Verdict
from ordernpay.simulator.web import WebFault
from tests.support import rest
from tests.support.daemons import DaemonProcess, daemon_inside, daemon_process
from tests.support.dying import DyingDaemon
from tests.support.poster import Post, by_doshii, by_ros, flood, post
from tests.support.rest import Bench, Table, fresh, order
from tests.support.wait import until

RATE, SECONDS = 500.0, 10.0
VENDORS = ("ros", "doshii")


def ros_body(simulator: RosSimulator, *references: str) -> bytes:
    notice = simulator.processed(*(Verdict(simulator.foreign(reference)) for reference in references))
    return notice.text(Style())


def doshii_body(reference: str) -> bytes:
    return json.dumps({"event": "order_updated", "data": {"id": reference, "status": "accepted"}}).encode()


def told_of(events: list[Table]) -> Counter[str]:
    """How often each order was told of, by the reference or number that its webhook has."""
    found: Counter[str] = Counter()
    for event in events:
        if event["kind"] == "order.updated":
            found[event["data"]["reference"] or event["data"]["order_id"]] += 1
    return found


@contextlib.asynccontextmanager
async def served(vendor: str) -> Any:
    async with rest.serve_ros() if vendor == "ros" else rest.serve_doshii() as simulator:
        yield simulator


def table_of(vendor: str, simulator: Any, directory: Path) -> Table:
    make = rest.ros_session if vendor == "ros" else rest.doshii_session
    return rest.config(directory, {"venue": make(simulator)})


def post_of(vendor: str, simulator: Any) -> Callable[[str], Post]:
    if vendor == "ros":
        return lambda reference: by_ros(ros_body(simulator, reference))
    return lambda reference: by_doshii(doshii_body(reference))


async def test_what_is_not_from_ros_changes_nothing(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        genuine = ros.processed(Verdict(ros.foreign("GENUINE")))
        hooks = ros.webhooks
        for _ in range(12):
            assert await hooks.forged(genuine) == 401
        assert await hooks.unsigned(genuine) == 401
        assert await hooks.tampered(genuine) == 401
        assert await hooks.oversize(genuine, 3 * 2**20) == 413
        for junk in (b'{"Type": ', b"\xff\xfe", b"[]", b"7", b'"text"', b"null", b"", b"[" * 5_000 + b"]" * 5_000):
            assert await hooks.junk(ros.organisation, junk) == 400, junk
        assert await venue.events() == []
        assert await hooks.notify(genuine) == [200], "a forger does not shut the vendor out"
        assert await hooks.replayed() == 200
        assert await hooks.replayed(attempt=3) == 200
        assert told_of(await venue.events()) == {"GENUINE": 1}
        text = await venue.metrics()
        assert "ordernpay" in text


async def test_what_is_not_from_doshii_changes_nothing(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        doshii = venue.simulator
        where = rest.door(venue.config, "/webhooks/doshii/venue")
        assert await doshii.webhooks.register(where, rest.DOSHII_KEY, rest.DOSHII_TOKEN)
        forger = doshii.forger()
        for _ in range(12):
            assert await forger.forged() == 401
        assert await forger.unsigned() == 401
        for header in ("Basic", "Basic !!!", f"Bearer {rest.DOSHII_TOKEN}", "Bearer x"):
            assert await forger.with_authorization(header) == 401, header
        assert await forger.oversize(3 * 2**20) == 413
        for junk in (b"\xff\x00{not json", b"[]", b"7", b"{}", b'{"event": 1, "data": {}}', b'{"emit": []}'):
            assert await forger.junk(junk) == 400, junk
        assert await venue.events() == []
        await doshii.emit("order_updated", {"id": "90217", "status": "accepted"})
        await doshii.settled()
        assert doshii.webhooks.deliveries[-1].status == 200, "a forger does not shut the vendor out"
        assert await forger.replayed() == 200
        assert told_of(await venue.events()) == {"90217": 1}


@pytest.mark.parametrize("casing", Casing)
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("body_name", ["Body", ""])
async def test_any_casing_and_wrapping_of_ros_is_read(
    casing: Casing, *, upper: bool, body_name: str, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        ros.webhooks.style = Style(casing=casing, upper=upper, body_name=body_name)
        made = await venue.ask("order.create", order=order("ros", "CASED"))
        assert await ros.notify(ros.processed(ros.confirmed(made.order_id))) == [200]
        assert await ros.notify(ros.prepared(made.order_id, location="Counter 2")) == [200]
        assert await ros.notify(ros.stock_level("1203")) == [200]
        assert await ros.notify(ros.unknown(Whatever=1)) == [200]
        found = [(event["kind"], event["data"].get("status")) for event in await venue.events()]
        assert found == [
            *(("command.settled", None), ("order.updated", "accepted"), ("order.updated", "ready")),
            *(("stock.updated", None), ("vendor.event", None)),
        ]


async def test_a_batch_makes_one_event_for_each_order_all_or_nothing(artifacts: Path) -> None:
    async with rest.serve_ros() as ros:
        config = table_of("ros", ros, artifacts)
        where = rest.door(config, "/webhooks/ros/venue")
        batch = by_ros(ros_body(ros, *(f"BATCH-{number}" for number in range(25))))
        daemon = DyingDaemon(artifacts, config)
        try:
            for moment in ("publish:before", "publish:after"):
                await daemon.start_to_die(moment)
                await rest.up_outside(config["rpc"]["socket"])
                assert await post(where, batch) == 0
                assert await daemon.wait() == -9
            await daemon.start()
            assert await post(where, batch) == 200
            found = told_of(await rest.events(config["rpc"]["socket"]))
        finally:
            await daemon.kill()
        assert found == {f"BATCH-{number}": 1 for number in range(25)}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize(("moment", "kept"), [("before", 0), ("after", 1)])
async def test_200_is_said_only_when_the_event_is_durable(vendor: str, moment: str, kept: int, artifacts: Path) -> None:
    async with served(vendor) as simulator:
        config = table_of(vendor, simulator, artifacts)
        where = rest.door(config, f"/webhooks/{vendor}/venue")
        one = post_of(vendor, simulator)("DURABLE")
        daemon = DyingDaemon(artifacts, config)
        try:
            await daemon.start_to_die(f"publish:{moment}")
            await rest.up_outside(config["rpc"]["socket"])
            assert await post(where, one) == 0, "no answer"
            assert await daemon.wait() == -9
            await daemon.start()
            assert told_of(await rest.events(config["rpc"]["socket"]))["DURABLE"] == kept
            assert await post(where, one) == 200, "the vendor's retry"
            assert await post(where, one) == 200, "and one too many"
            assert told_of(await rest.events(config["rpc"]["socket"])) == {"DURABLE": 1}
        finally:
            await daemon.kill()


@pytest.mark.bench  # measured with the machine to itself; what it asserts holds at any speed
@pytest.mark.parametrize("vendor", VENDORS)
async def test_500_webhooks_a_second_for_10_s_lose_and_double_nothing(
    vendor: str, artifacts: Path, artifacts_root: Path
) -> None:
    async with served(vendor) as simulator:
        config = table_of(vendor, simulator, artifacts)
        make = post_of(vendor, simulator)
        posts = [make(f"FLOOD-{number}") for number in range(round(RATE * SECONDS))]
        repeated = [one for number, one in enumerate(posts) for one in [posts[number]] * (1 + (number % 10 == 0))]
        async with daemon_process(artifacts, config):
            socket = config["rpc"]["socket"]
            await rest.up_outside(socket)
            told = await flood(rest.door(config, f"/webhooks/{vendor}/venue"), repeated, RATE)
            found = told_of(await rest.events(socket))
        delays = sorted(told.delays)
        figures = (
            f"{vendor}: {len(repeated)} webhooks in {told.seconds:.1f} s, {told.rate:.0f} a second, answered after "
            f"{statistics.median(delays) * 1000:.1f} ms (99 %: {delays[int(len(delays) * 0.99)] * 1000:.0f} ms)"
        )
        print(f"\n{figures}")
        with (artifacts_root / "webhook-rates.txt").open("a", encoding="utf-8") as file:
            file.write(figures + "\n")
        assert told.statuses == {200: len(repeated)}
        assert found == {f"FLOOD-{number}": 1 for number in range(len(posts))}


@pytest.mark.slow
@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_daemon_killed_in_a_flood_has_every_event_that_it_took(vendor: str, artifacts: Path) -> None:
    async with served(vendor) as simulator:
        config = table_of(vendor, simulator, artifacts)
        where, socket = rest.door(config, f"/webhooks/{vendor}/venue"), config["rpc"]["socket"]
        make = post_of(vendor, simulator)
        posts = [make(f"KILLED-{number}") for number in range(600)]
        daemon = DaemonProcess(artifacts, config)
        try:
            await daemon.start()
            await rest.up_outside(socket)

            async def kill() -> None:
                await until(lambda: _some(socket))
                await daemon.kill()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(kill())
                flooding = tasks.create_task(flood(where, posts, 400.0))
            told = flooding.result()
            assert told.statuses[0], "some were not answered"
            await daemon.start()
            before = told_of(await rest.events(socket))
            taken = {f"KILLED-{number}" for number in told.taken}
            assert taken <= set(before), "what got a 200 is there"
            assert all(count == 1 for count in before.values())
            missing = [one for number, one in enumerate(posts) if number not in set(told.taken)]
            again = await flood(where, missing, 400.0)
            assert again.statuses == {200: len(missing)}
            assert told_of(await rest.events(socket)) == {f"KILLED-{number}": 1 for number in range(600)}
        finally:
            await daemon.kill()


async def _some(socket: str) -> bool:
    page = await rest.read(socket, "event.list", since=0, limit=100, kinds=["order.updated"])
    return len(page["events"]) >= 50


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_processed_order_settles_its_unknown_add(*, confirmed: bool, artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        ros.faults.plan(WebFault.CUT_AFTER, path="remoteorders/add")
        call = {"order": order("ros"), "idempotency_key": fresh("key")}
        told = await venue.ask("order.create", **call)
        assert told.state == "unknown"
        [made] = ros.orders.values()
        verdict = ros.confirmed(made.remote_order_id) if confirmed else ros.rejected(made.remote_order_id, "Closed")
        assert await ros.notify(ros.processed(verdict)) == [200]
        row = await venue.row(told)
        assert row["state"] == ("succeeded" if confirmed else "rejected")
        assert row["vendor_ids"]["remote_order_id"] == made.remote_order_id
        *_, settled = await venue.events("command.settled")
        assert (settled["data"]["command_id"], settled["data"]["state"]) == (told.command_id, row["state"])
        again = await venue.ask("order.create", **call)
        assert again.state == row["state"]
        assert ros.server.count("remoteorders/add") == 1
        if confirmed:
            assert again.order_id == made.remote_order_id
            assert (await venue.ask("order.cancel", order_id=again.order_id, reason="x")).ok
        else:
            assert (again.code, again.data["vendor_message"]) == (1001, "Closed")


async def test_a_processed_order_settles_the_add_that_made_it_behind_an_error(artifacts: Path) -> None:
    """ROS says to try again after an error; where the last one hid an order, the webhook is a better word than `failed`."""
    async with rest.bench(artifacts, "ros", error_delays=[]) as venue:
        ros = venue.simulator
        ros.faults.plan(WebFault.BROKEN, path="remoteorders/add", status=500)
        call = {"order": order("ros"), "idempotency_key": fresh("key")}
        told = await venue.ask("order.create", **call)
        assert (told.code, told.state) == (1008, "failed")
        [made] = ros.orders.values()
        assert await ros.notify(ros.processed(ros.confirmed(made.remote_order_id))) == [200]
        again = await venue.ask("order.create", **call)
        assert (again.state, again.order_id) == ("succeeded", made.remote_order_id)
        assert (ros.server.count("remoteorders/add"), len(ros.orders)) == (1, 1)


async def test_a_processed_order_does_not_settle_an_add_that_did_not_make_it(artifacts: Path) -> None:
    """Two orders of a kiosk with one reference: the one that ROS has says nothing of the one that it has not."""
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        first = await venue.ask("order.create", order=order("ros", "TWICE"))
        ros.faults.plan(WebFault.CUT_BEFORE, path="remoteorders/add")
        second = await venue.ask("order.create", order=order("ros", "TWICE"))
        assert (first.state, second.state) == ("succeeded", "unknown")
        for verdict in (ros.confirmed(first.order_id), ros.rejected(first.order_id)):
            assert await ros.notify(ros.processed(verdict)) == [200]
            assert (await venue.row(second))["state"] == "unknown"
        assert len(ros.orders) == 1


async def test_a_full_journal_makes_the_vendor_try_again(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in VENDORS:
        async with rest.bench(artifacts / vendor, vendor) as venue:
            where = rest.door(venue.config, f"/webhooks/{vendor}/venue")
            one = post_of(vendor, venue.simulator)("FULL")
            with monkeypatch.context() as patch:
                patch.setattr(venue.daemon.journal._writer, "do", _full)
                assert await post(where, one) == 503
            assert await post(where, one) == 200
            assert told_of(await venue.events()) == {"FULL": 1}


async def _full(*_: object) -> None:
    from ordernpay.journal import JournalUnavailable  # noqa: PLC0415

    raise JournalUnavailable("the journal cannot be written: disk full")


async def test_a_session_without_a_secret_takes_no_webhook(artifacts: Path) -> None:
    async with rest.serve_ros() as ros:
        table = rest.ros_session(ros)
        del table["webhook_secret"]
        config = rest.config(artifacts, {"venue": table})
        async with daemon_inside(config) as daemon:
            await rest.up(daemon)
            venue = Bench(ros, daemon, config)
            where = rest.door(config, "/webhooks/ros/venue")
            assert await post(where, by_ros(ros_body(ros, "X"))) in {401, 404}
            assert await venue.events() == []
