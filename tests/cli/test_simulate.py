import asyncio
import json
import os
import signal
import socket
import tomllib
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from click.testing import CliRunner

from ordernpay.cli import main
from ordernpay.cli.demo.stage import free_port
from ordernpay.client import connect
from ordernpay.config import read
from ordernpay.vendors import CONFIGS
from tests.cli.program import ORDER, Ended, interrupt, ordernpay, start
from tests.support.daemons import daemon_process, tables
from tests.support.kiosk import keyed

ORDERS: dict[str, Any] = {
    "bar": ORDER,
    "terrace": ORDER,
    "courier": {"reference": "S-1", "lines": [{"product": "1203", "name": "Soup", "unit_price": "4.50"}]},
    "hotel": {"reference": "S-1", "table": "24", "lines": [{"product": "SOUP", "name": "Soup"}]},
    "cafe": {
        "reference": "S-1",
        "type": "pickup",
        "lines": [{"product": "toasted_eggs", "name": "Eggs", "unit_price": "11.00"}],
    },
}
LAST_LINE = b"# Each also takes"


async def printed(process: asyncio.subprocess.Process) -> str:
    """Its configuration, which it prints at once and whole."""
    assert process.stdout is not None
    text = b""
    with anyio.fail_after(30):
        while not text.rpartition(b"\n")[0].rpartition(b"\n")[2].startswith(LAST_LINE):
            line = await process.stdout.readline()
            assert line, text
            text += line
    return text.decode()


async def stop(process: asyncio.subprocess.Process, number: signal.Signals) -> Ended:
    ended = await interrupt(process, number)
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    return ended


async def test_what_it_prints_reaches_both_tills_and_plans_their_faults(artifacts: Path) -> None:
    daemon_address = f"http://127.0.0.1:{free_port()}"
    process = await start(
        "simulate", "--port", "0", "--control-port", "0", "--rest-port", "0", "--daemon", daemon_address
    )
    try:
        text = await printed(process)
        config: dict[str, Any] = tomllib.loads(text) | {key: tables(artifacts, {})[key] for key in ("daemon", "rpc")}
        controls = {line.split()[-1].removesuffix("/simulator/acts") for line in text.splitlines() if "/acts" in line}
        assert len(controls) == 2
        async with httpx.AsyncClient(trust_env=False) as http:
            for control in controls:
                plan = json.dumps({"fault": "drop_after", "message_type": 11})
                assert (await http.post(f"{control}/simulator/faults", content=plan)).is_success
            async with daemon_process(artifacts, config) as daemon, connect(daemon.socket) as client:
                for name, order in ORDERS.items():
                    answer = await client.call("order.create", keyed("order.create", {"session": name, "order": order}))
                    assert answer["state"] == "succeeded"
            for control in controls:
                told = (await http.get(f"{control}/simulator/acts")).json()
                assert (len(told["acts"]), told["repeats"]) == (1, 1)
    finally:
        await stop(process, signal.SIGINT)


@pytest.mark.parametrize(
    ("role", "sessions"), [("server", ["bar"]), ("client", ["terrace"]), ("rest", ["courier", "hotel", "cafe"])]
)
async def test_one_role_prints_one_session_and_ends_on_sigterm(role: str, sessions: list[str]) -> None:
    process = await start("simulate", "--role", role, "--port", "0", "--control-port", "0", "--rest-port", "0")
    text = await printed(process)
    assert list(read(tomllib.loads(text), Path("printed.toml"), CONFIGS).sessions) == sessions
    await stop(process, signal.SIGTERM)


async def test_an_address_that_is_not_loopback_is_told_as_insecure() -> None:
    process = await start("simulate", "--role", "server", "--host", "0.0.0.0", "--port", "0")
    config = read(tomllib.loads(await printed(process)), Path("printed.toml"), CONFIGS)
    assert config.sessions["bar"].allow_insecure
    await stop(process, signal.SIGINT)


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = await ordernpay("simulate", "--role", "server", "--port", str(taken.getsockname()[1]))
    assert ended.status == 1
    assert os.strerror(98) in ended.err
    assert "Choose another --host, --port" in ended.err


@pytest.mark.parametrize("address", ["ftp://x", "localhost:8710", "http://", "http://h:99999", "http://[::1"])
def test_a_daemon_that_is_no_address_is_bad_usage(address: str) -> None:
    ended = CliRunner().invoke(main, ["simulate", "--daemon", address])
    assert ended.exit_code == 2
    assert "expected an address" in ended.stderr
