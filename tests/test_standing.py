"""The line that ``systemctl status`` shows, and what a reload cannot bring."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ordernpay.config import Config, read
from ordernpay.standing import needs_restart, standing
from ordernpay.vendors import CONFIGS
from ordernpay.vendors.protocol import SessionStatus


class Told:
    def __init__(self, state: Any, why: str | None = None) -> None:
        self.told = SessionStatus(state, 0.0, 0, why, {})

    def status(self) -> SessionStatus:
        return self.told


@pytest.mark.parametrize(
    ("sessions", "unknown", "troubles", "line"),
    [
        ({}, 0, [], "no sessions configured"),
        ({"bar": Told("up", "an old reason")}, 0, [], "1 of 1 sessions up"),
        ({"bar": Told("up")}, 1, [], "1 of 1 sessions up; 1 command unknown"),
        (
            {"bar": Told("up"), "cafe": Told("down", "no\nanswer"), "hotel": Told("connecting")},
            2,
            ["restart needed for inbound"],
            "restart needed for inbound; 1 of 3 sessions up; cafe down (no answer); hotel connecting; 2 commands unknown",
        ),
    ],
)
def test_the_line(sessions: Any, unknown: int, troubles: list[str], line: str) -> None:
    assert standing(sessions, unknown, troubles) == line


def configured(**tables: Any) -> Config:
    return read(tables, Path("test.toml"), CONFIGS)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({}, []),
        ({"journal": {"keep_days": 3}}, []),
        ({"daemon": {"drain_seconds": 3}}, []),
        ({"rpc": {"admin_group": "x", "access": [{"group": "g", "methods": ["order.*"]}]}}, []),
        ({"daemon": {"state_dir": "/x"}}, ["daemon.state_dir"]),
        ({"rpc": {"socket": "/x", "max_clients": 3}}, ["rpc.socket", "rpc.max_clients"]),
        ({"inbound": {"port": 3}}, ["inbound"]),
    ],
)
def test_what_only_a_restart_brings_is_named(after: dict[str, Any], told: list[str]) -> None:
    assert needs_restart(configured(), configured(**after)) == told


def test_a_changed_door_is_named_by_its_key() -> None:
    before = configured(inbound={"port": 1})
    assert needs_restart(before, evolve(before, inbound=None)) == ["inbound"]
    assert needs_restart(before, configured(inbound={"port": 2})) == ["inbound.port"]
