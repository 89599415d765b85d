"""Kills, cuts, a slow and failing disk and a clock that is stepped by 40 days, over all vendors and both roles.

What befalls a run is drawn from a seed, which is printed: ``ORDERNPAY_TEST_SEED=…`` draws the same again. The full size:
``ORDERNPAY_STORM_COMMANDS=10000 ORDERNPAY_STORM_KILLS=220 pytest -s tests/faults/test_storm.py``, a quarter of an hour each;
one flush of it lasts 30 s, longer than systemd's watchdog waits.
"""

import os
import random
import time
from pathlib import Path

import pytest

from tests.faults.storm.driver import Plan, number, storm
from tests.faults.storm.judge import judge

SIZED = bool(os.environ.get("ORDERNPAY_STORM_COMMANDS"))


async def weather(plan: Plan, folder: Path) -> None:
    """Run it, print what it came to, and judge."""
    print(f"seed of the run: ORDERNPAY_TEST_SEED={plan.seed}")
    began = time.monotonic()
    async with storm(plan, folder) as run:
        async with run.run():
            verdict = await judge(run)
        seconds = time.monotonic() - began
        control = run.shim.control
        print(
            f"commands {len(run.kiosks.commands)}, acts {len(run.ledger.acts)}, lives {run.daemon.lives} ({run.daemon.starting:.0f} s of starting), {seconds:.0f} s, {run.phases}"
        )
        print(f"blows {dict(run.met)}, ends {dict(run.daemon.ends)}")
        print(
            f"disk: {control.failed} failed, {control.slowed} slowed, {control.halved} halved, {control.syncs} flushes"
        )
        print(f"answers {dict(run.kiosks.answers)}, states {dict(verdict.states)}, unknown {dict(verdict.unknown)}")
        print(f"vendors met {sum(run.ledger.met.values())}: {dict(run.ledger.met)}")
        print(
            f"lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, wrong {len(verdict.wrong)}, "
            f"events {len(verdict.events)} (of {run.follower.last})"
        )
        (folder / "verdict.txt").write_text("\n".join(verdict.faults))
        assert not verdict.faults, "\n".join(verdict.faults[:60])


def plan(commands: int, kills: int, *, power: bool = False) -> Plan:
    """A run of this size, or of the one that the environment asks for."""
    seed = os.environ.get("ORDERNPAY_TEST_SEED") or str(random.SystemRandom().randrange(2**32))
    commands, kills = number("ORDERNPAY_STORM_COMMANDS", commands), number("ORDERNPAY_STORM_KILLS", kills)
    disk, clock = (
        number("ORDERNPAY_STORM_DISK", max(4, kills // 3)),
        number("ORDERNPAY_STORM_CLOCK", max(2, kills // 6)),
    )
    clients = number("ORDERNPAY_STORM_CLIENTS", 48 if SIZED else 16)
    slowest = 30.0 if SIZED else 1.0
    return Plan(seed, commands, kills, clients, power=power, disk=disk, clock=clock, slowest=slowest)


@pytest.mark.figures
@pytest.mark.slow
@pytest.mark.timeout(3_600 if SIZED else 600)
async def test_a_storm_loses_doubles_and_misstates_nothing(artifacts: Path) -> None:
    await weather(plan(160, 7), artifacts)


@pytest.mark.figures
@pytest.mark.slow
@pytest.mark.timeout(3_600 if SIZED else 600)
async def test_after_power_cuts_what_was_told_is_what_is_there(artifacts: Path) -> None:
    await weather(plan(160, 7, power=True), artifacts)
