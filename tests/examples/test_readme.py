"""What the README shows can be pasted, and its tables leave nothing out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
import pytest

from ordernpay import config
from ordernpay.commands import COMMANDS
from ordernpay.outcomes import KINDS
from ordernpay.rpc.methods import METHODS
from ordernpay.vendors import CONFIGS
from tests.cli.program import Venue
from tests.cli.program import venue as open_venue

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TABLES = (config.Daemon, config.Journal, config.Rpc, config.Access, config.Inbound, *CONFIGS.values())


@pytest.fixture
async def venue(artifacts: Path) -> AsyncIterator[Venue]:
    async with open_venue(artifacts) as running:
        yield running


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    text: str = found
    return text


async def test_the_python_program_places_its_order(venue: Venue) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        environ = os.environ | {"ORDERNPAY_SOCKET": venue.daemon.socket}
        words = [sys.executable, "-c", block("python")]
        return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)

    ended = await anyio.to_thread.run_sync(run)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "A0000001\n", "")


async def test_the_line_for_the_socket_is_answered_and_names_its_session(venue: Venue) -> None:
    line = block("json")
    assert json.loads(line)["params"]["session"] == "bar"
    async with await anyio.connect_unix(venue.daemon.socket) as kiosk:
        await kiosk.send(line.encode())
        with anyio.fail_after(30):
            answer = await kiosk.receive()
    assert b'"state":"succeeded"' in answer


@pytest.mark.parametrize("cls", TABLES, ids=lambda cls: cls.__name__)
def test_every_key_of_the_configuration_is_told(cls: type[Any]) -> None:
    names = {field.name for field in attrs.fields(cls)}
    assert {name for name in names if f"`{name}`" not in README and f"[rpc.{name}]" not in README} == set()


def test_every_method_and_every_error_is_told() -> None:
    told = set(re.findall(r"`([\w.]+)`", README))
    assert {*COMMANDS, *METHODS} <= told
    assert set(KINDS) <= told
    assert {str(kind.code) for kind in KINDS.values()} <= set(re.findall(r"-?\d+", README))
