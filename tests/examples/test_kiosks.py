"""The example kiosks as they stand, against the real daemon and the simulated till."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ordernpay.simulator.faults import Fault
from ordernpay.simulator.shop import CREATE_ORDER
from tests.cli.program import Venue
from tests.cli.program import venue as open_venue
from tests.support.wait import until

EXAMPLES = Path(__file__).parents[2] / "examples"
NO_TOOLS = [name for name in ("socat", "jq") if shutil.which(name) is None]
KIOSKS = [
    pytest.param((sys.executable, str(EXAMPLES / "kiosk.py")), id="python"),
    pytest.param(
        ("bash", str(EXAMPLES / "kiosk.sh")),
        id="shell",
        marks=pytest.mark.skipif(bool(NO_TOOLS), reason=f"not on this machine: {', '.join(NO_TOOLS)}"),
    ),
]
pytestmark = pytest.mark.parametrize("kiosk", KIOSKS)


@pytest.fixture
async def venue(artifacts: Path) -> AsyncIterator[Venue]:
    async with open_venue(artifacts) as running:
        yield running


@contextlib.asynccontextmanager
async def running(kiosk: tuple[str, ...], venue: Venue) -> AsyncIterator[asyncio.subprocess.Process]:
    """The kiosk with an order of its own."""
    process = await asyncio.create_subprocess_exec(
        *kiosk, venue.daemon.socket, "bar", "R1", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def lines_of(process: asyncio.subprocess.Process) -> list[str]:
    """What it printed; it must have ended well."""
    with anyio.fail_after(60):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.decode().splitlines()


async def test_it_places_its_order_and_follows_it(kiosk: tuple[str, ...], venue: Venue) -> None:
    async with running(kiosk, venue) as process:
        assert await lines_of(process) == ["placed: A0000001", "event: 2 command.settled succeeded"]
    async with running(kiosk, venue) as process:
        assert await lines_of(process) == ["placed: A0000001", "event: 2 command.settled succeeded"]
    assert len(venue.shop.acts) == 1


async def test_it_asks_again_when_the_outcome_is_unknown(kiosk: tuple[str, ...], venue: Venue) -> None:
    venue.pos.faults.plan(Fault.SILENT, message_type=CREATE_ORDER)
    async with running(kiosk, venue) as process:
        lines = await lines_of(process)
    assert lines[0].startswith("again, with the same key: ")
    assert lines[1] == "placed: A0000001"
    assert [line.split()[-1] for line in lines[2:]] == ["unknown", "succeeded"]
    assert (len(venue.shop.acts), venue.shop.repeats) == (1, 1)


async def test_a_late_answer_settles_it(kiosk: tuple[str, ...], venue: Venue) -> None:
    venue.pos.faults.plan(Fault.LATE, message_type=CREATE_ORDER, seconds=2.2)
    venue.pos.faults.plan(Fault.DEAF, message_type=CREATE_ORDER)
    async with running(kiosk, venue) as process:
        lines = await lines_of(process)
    assert lines[0].startswith("again, with the same key: ")
    assert "placed: A0000001" in lines
    assert lines[-1].endswith("command.settled succeeded")
    assert len(venue.shop.acts) == 1


async def test_it_survives_the_daemons_death(kiosk: tuple[str, ...], venue: Venue) -> None:
    venue.pos.faults.plan(Fault.SILENT, message_type=CREATE_ORDER)
    async with running(kiosk, venue) as process:
        await until(lambda: venue.shop.acts)
        await venue.daemon.kill()
        assert process.stdout is not None
        with anyio.fail_after(30):
            assert (await process.stdout.readline()).startswith(b"again, with the same key: no answer")
        await venue.daemon.start()
        lines = await lines_of(process)
    assert "placed: A0000001" in lines
    assert lines[-1].endswith("command.settled succeeded")
    assert len(venue.shop.acts) == 1


async def test_a_no_is_told_and_not_repeated(kiosk: tuple[str, ...], venue: Venue) -> None:
    venue.shop.kitchen.stock["1203"] = 0
    async with running(kiosk, venue) as process:
        with anyio.fail_after(60):
            out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"not placed: ")
    assert venue.shop.acts == []


@pytest.mark.parametrize(
    "error",
    [
        {"code": 1006, "message": "sent", "data": {"kind": "outcome_unknown", "state": "unknown", "retryable": False}},
        {"code": -32603, "message": "broke", "data": {"kind": "internal", "state": None, "retryable": False}},
    ],
    ids=["unknown", "internal"],
)
async def test_what_may_have_been_placed_is_not_told_as_not_placed(
    kiosk: tuple[str, ...], error: dict[str, Any], artifacts: Path
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode() + b"\n")
        writer.close()

    path = f"/tmp/{artifacts.name[-40:]}-{os.getpid()}.sock"
    async with await asyncio.start_unix_server(answer, path):
        process = await asyncio.create_subprocess_exec(
            *kiosk, path, "bar", "R1", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        with anyio.fail_after(60):
            out, err = await process.communicate()
    assert (process.returncode, out) == (3, b"")
    assert err.startswith(b"unknown, look at the till")
    assert b"not placed" not in err


async def test_without_its_words_it_tells_which(kiosk: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(*kiosk, stderr=asyncio.subprocess.PIPE)
    with anyio.fail_after(60):
        _, err = await process.communicate()
    assert process.returncode != 0
    assert b"Usage: kiosk." in err
    assert b"SOCKET SESSION REFERENCE" in err
    assert b"Traceback" not in err
