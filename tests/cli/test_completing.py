"""The Tab key in a real bash, with the committed file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ordernpay.commands import COMMANDS
from ordernpay.outcomes import STATES
from ordernpay.rpc.methods import METHODS

COMPLETION = Path(__file__).parents[2] / "systemd" / "completion" / "ordernpay.bash"
PROGRAM = """#!{python}
import sys
from ordernpay.cli import main
sys.argv[0] = "ordernpay"
main()
"""
TAB = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_ordernpay_completion ordernpay
printf '%s\\n' "${COMPREPLY[@]}"
"""


Tab = Callable[..., list[str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ordernpay.toml"
    path.write_text('[sessions.bar]\nvendor = "?"\n[sessions.beach]\n[sessions.cafe]\n', encoding="utf-8")
    return path


@pytest.fixture
def tab(tmp_path: Path, config: Path) -> Tab:
    """What bash offers for words of which the last is not finished."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ordernpay").write_text(PROGRAM.format(python=sys.executable), encoding="utf-8")
    (programs / "ordernpay").chmod(0o755)

    def press(*words: str, **environ: str) -> list[str]:
        ended = subprocess.run(
            ["bash", "--norc", "-c", TAB, "bash", str(COMPLETION), "ordernpay", *words],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "ORDERNPAY_CONFIG": str(config)} | environ,
        )
        assert ended.stderr == ""
        return ended.stdout.split()

    return press


def test_commands_and_options_are_completed(tab: Tab) -> None:
    assert tab("sta") == ["status"]
    assert tab("c") == ["check", "call", "commands"]
    assert tab("status", "--") == ["--json", "--socket", "--help"]


def test_methods_are_those_of_the_daemon_and_need_none(tab: Tab) -> None:
    assert tab("call", "order.c") == ["order.create", "order.cancel"]
    assert set(tab("call", "")) == {*COMMANDS, *METHODS}


def test_choices_are_completed(tab: Tab) -> None:
    assert tab("commands", "--state", "") == list(STATES)


@pytest.mark.parametrize("command", ["commands", "events"])
def test_sessions_are_those_of_the_configuration(tab: Tab, command: str) -> None:
    assert tab(command, "--session", "b") == ["bar", "beach"]


def test_without_a_configuration_there_is_nothing_to_offer_and_nothing_to_complain_of(tab: Tab, tmp_path: Path) -> None:
    assert tab("events", "--session", "", ORDERNPAY_CONFIG=str(tmp_path / "none")) == []
    (tmp_path / "bad").write_text("sessions = 5", encoding="utf-8")
    assert tab("events", "--session", "", ORDERNPAY_CONFIG=str(tmp_path / "bad")) == []
