import importlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from ordernpay.cli import main
from ordernpay.cli.demo.order_n_pay import OrderNPayStory, bar
from ordernpay.cli.demo.telling import Story, Telling, expect
from ordernpay.simulator.shop import CREATE_ORDER
from tests.cli.program import Ended, interrupt, ordernpay, start, unread
from tests.support.wait import until

demo_package = importlib.import_module("ordernpay.cli.demo")  # in its parent the name is the command's


def in_directory(directory: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(directory)}


def of_a_story(directory: Path) -> list[Path]:
    return list(directory.glob("ordernpay-demo-*"))


async def test_all_goes_through_and_nothing_is_left(tmp_path: Path) -> None:
    ended = await ordernpay("demo", env=in_directory(tmp_path))
    assert ended.status == 0, ended.out
    for name in ("bar", "terrace"):
        assert f"Session {name}: order-n-pay" in ended.out
    assert ended.out.count("sent again under the same RequestID") == 2
    assert "WRONG" not in ended.out
    assert ended.out.endswith("All went through: nothing lost, nothing done twice.\n")
    assert "\x1b" not in ended.out
    assert of_a_story(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_it_ends_the_daemon_and_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    process = await start("demo", env=in_directory(tmp_path))
    assert process.stdout is not None
    with anyio.fail_after(30):
        line = (await process.stdout.readline()).decode()
    daemon = int(line.split()[5].rstrip(";"))
    ended = await interrupt(process, number)
    assert ended.status == 128 + number
    assert of_a_story(tmp_path) == []
    await until(lambda: not Path(f"/proc/{daemon}").exists())


class _Twice(OrderNPayStory):
    """A till that acts twice behind everyone's back."""

    async def tell(self, telling: Telling) -> None:
        await super().tell(telling)
        self.till.shop.acts.append(next(act for act in self.till.shop.acts if act.message_type == CREATE_ORDER))


class _Disappointed(OrderNPayStory):
    """A story that does not go as it should."""

    async def tell(self, telling: Telling) -> None:
        await telling.up()
        expect(False, "better things")


class _Refused(OrderNPayStory):
    """A story whose call the daemon refuses."""

    async def tell(self, telling: Telling) -> None:
        await telling.call("order.get", order_id="")


def cast_of(kind: type[OrderNPayStory]) -> object:
    @asynccontextmanager
    async def open_story(inbound: str) -> AsyncIterator[Story]:
        async with bar(inbound) as story:
            yield kind(story.till, story.about)

    return open_story


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (_Twice, "the simulated vendor of bar did not do exactly what it should"),
        (_Disappointed, "session bar: expected better things"),
        (_Refused, "session bar: invalid params: order_id"),
    ],
)
def test_what_goes_wrong_is_told_with_the_end_of_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[OrderNPayStory], said: str
) -> None:
    monkeypatch.setattr(demo_package, "CAST", (cast_of(kind),))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    ended = CliRunner().invoke(main, ["demo"])
    assert ended.exit_code == 1, ended.output
    assert f"The demo failed: {said}" in ended.output
    assert "daemon_started" in ended.output
    assert of_a_story(tmp_path) == []


def test_a_daemon_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nameless(OrderNPayStory):
        @property
        def toml(self) -> str:
            return "[sessions.bar]\nvendor = 1\n"

    monkeypatch.setattr(demo_package, "CAST", (cast_of(Nameless),))
    ended = CliRunner().invoke(main, ["demo"])
    assert ended.exit_code == 1
    assert "the daemon did not start: it ended with exit status 78" in ended.output
    assert "sessions.bar.vendor: expected one of" in ended.output


async def test_when_nobody_reads_on_it_ends_quietly_but_not_as_a_success(tmp_path: Path) -> None:
    assert await unread("demo", env=in_directory(tmp_path)) == Ended(1, "", "")
    assert of_a_story(tmp_path) == []


async def test_a_long_temporary_directory_does_not_stop_it(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    ended = await ordernpay("demo", env=in_directory(deep))
    assert ended.status == 0, ended.out
    assert list(deep.iterdir()) == []
    assert not Path(ended.out.split("local socket is ")[1].split("\n")[0].rstrip(".")).parent.exists()
