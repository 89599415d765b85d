"""Output: one line where it cannot be written, and nothing in it that a terminal would act on."""

import asyncio
import json
import os
import sys
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from ordernpay.cli import main, terminal
from ordernpay.simulator.faults import Fault
from tests.cli.program import Ended, Venue, ended, ordernpay

EVIL = "A\x1b]0;x\x07\x1b[2J\u009b31m\u202eRTL\u2066\u200b\r\nFAKE\x7f\x08\x00\ufeffé😀"
ACTS = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\u202a\u202e\u2066\u2069\u200b\ufeff"} - {"\n"}


async def into(where: str, *words: str, **more: Any) -> Ended:
    """`ordernpay WORDS…`, with its standard output elsewhere; `-` closes it."""
    shell = f'exec "$@" >{"&-" if where == "-" else where}'
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", shell, "sh", sys.executable, "-m", "ordernpay", *words),
        stderr=asyncio.subprocess.PIPE,
        **more,
    )
    with anyio.fail_after(60):
        _, err = await process.communicate()
    return ended(process, b"", err)


@pytest.mark.parametrize(
    ("where", "why"), [("/dev/full", "No space left on device"), ("-", "standard output is closed")]
)
async def test_output_that_cannot_be_written_is_one_line_and_no_success(where: str, why: str, venue: Venue) -> None:
    told = Ended(74, "", f"Error: the output cannot be written: {why}\n")
    socket = {"env": {**os.environ, "ORDERNPAY_SOCKET": venue.daemon.socket}}
    assert await into(where, "--help") == told
    assert await into(where, "call", "--help") == told
    assert await into(where, "schema") == told
    assert await into(where, "check", "--config", "/nowhere.toml") == told
    for words in (["status"], ["status", "--json"], ["commands", "--json"], ["call", "session.list"]):
        assert await into(where, *words, **socket) == told
    for words in (["--follow", "--since", "0"], ["--follow", "--since", "0", "--json"]):
        assert await into(where, "events", *words, **socket) == told


async def test_what_fails_before_is_told_even_without_an_output() -> None:
    assert (await into("-", "statsu")).status == 2
    assert (await into("/dev/full", "status", "--socket", "/nowhere")).status == 69


async def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    mistyped = await ordernpay("evnets")
    assert (mistyped.status, mistyped.out) == (2, "")
    assert mistyped.err.endswith("Error: No such command 'evnets'. Did you mean events?\n")
    assert "Did you mean" not in (await ordernpay("quux")).err


# Terminals


def acting(text: str) -> set[str]:
    return ACTS & set(text)


def test_json_is_escaped_and_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    value: Any = {EVIL: [EVIL, {"plain": 'quo"te \\ back'}]}
    terminal.print_json(value)
    printed = capsys.readouterr().out
    assert acting(printed) == set()
    assert json.loads(printed) == value
    assert "é😀" in printed
    terminal.print_json_line(value)
    assert json.loads(capsys.readouterr().out) == value
    terminal.print_json({"file": "half \udc9b"})
    assert json.loads(capsys.readouterr().out) == {"file": "half \\udc9b"}


def test_lines_and_cells_show_that_something_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(f"one\n{EVIL}")
    assert acting(capsys.readouterr().out) == set()
    assert acting(terminal.printable(EVIL)) == set()


@pytest.mark.parametrize("words", [[EVIL], ["status", "--socket", EVIL.replace("\0", "")], ["call", "x", f"a{EVIL}"]])
def test_errors_repeat_no_control_of_what_was_typed(words: list[str]) -> None:
    told = CliRunner().invoke(main, words)
    assert told.exit_code in {2, 69}
    assert acting(told.output) == set()


async def test_what_a_vendor_says_reaches_no_terminal_as_it_is(venue: Venue) -> None:
    venue.pos.faults.plan(Fault.UNKNOWN_RESULT_CODE, result_code=77)
    answered = venue.shop.answer

    def evil(frame: str) -> Any:
        decision = answered(frame)
        decision.response["ErrorMessage"] = EVIL
        return decision

    venue.shop.answer = evil  # type: ignore[method-assign]
    native = {"MessageType": 99, "Payload": {}, "UserIdentifier": None}
    refused = await venue.run("call", "vendor.request", f"request={json.dumps(native)}", "idempotency_key=k-1")
    assert refused.status == 1
    for words in (["commands"], ["commands", "--json"], ["events"], ["events", "--json"], ["status", "--json"]):
        told = await venue.run(*words)
        assert told.status == 0
        assert acting(told.out + told.err) == set()
    assert acting(refused.out + refused.err) == set()
    assert acting(await anyio.Path(venue.daemon.log).read_text()) == set()
