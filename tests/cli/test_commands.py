import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from ordernpay.cli import main, terminal
from ordernpay.client import OutcomeUnknown
from ordernpay.simulator.faults import Fault
from tests.cli.program import ORDER, Venue


async def test_an_unknown_command_is_easy_to_see_and_says_what_to_do(venue: Venue) -> None:
    await venue.call("order.create", order=ORDER, idempotency_key="A1")
    venue.pos.faults.plan(Fault.DEAF)
    command_id = ""
    try:
        await venue.call("order.create", order=ORDER, idempotency_key="A2", timeout=0.2)
    except OutcomeUnknown as unknown:
        command_id = str(unknown.command_id)
    assert command_id

    ended = await venue.run("commands")
    assert (ended.status, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert rows[0][:5] == ["accepted", "command", "session", "method", "state"]
    assert [row[4] for row in rows[1:3]] == ["unknown", "succeeded"]
    assert "1 unknown: may or may not have acted." in ended.out
    assert "command.retry" in ended.out

    only = json.loads((await venue.run("commands", "--state", "unknown", "--json")).out)
    assert [row["command_id"] for row in only["commands"]] == [command_id]
    first = await venue.run("commands", "--limit", "1")
    assert "--limit takes up to 1000" in first.out

    one = await venue.run("commands", command_id)
    assert one.status == 0
    there, absent = one.out.split("If it is not, ")
    assert f"call command.resolve command_id={command_id} state=succeeded" in there
    assert "command.retry" not in there
    assert f"call command.retry command_id={command_id}" in absent
    assert "any other vendor would do once more" in absent
    row = json.loads((await venue.run("commands", command_id, "--json")).out)
    assert (row["state"], row["idempotency_key"]) == ("unknown", "A2")
    retried = await venue.run("call", "command.retry", f"command_id={command_id}")
    assert json.loads(retried.out)["state"] == "succeeded"


async def test_no_such_command_or_session(venue: Venue) -> None:
    ended = await venue.run("commands", "nope")
    assert ended.status == 1
    assert "no such command in the journal" in ended.err
    ended = await venue.run("commands")
    assert (ended.status, ended.out) == (0, "")
    assert "No such commands" in ended.err


def test_bad_usage_ends_with_2() -> None:
    for words in (["--state", "odd"], ["--limit", "0"], ["id", "--state", "sent"]):
        assert CliRunner().invoke(main, ["commands", *words]).exit_code == 2


async def test_a_session_that_is_none_is_refused_rather_than_found_empty(venue: Venue) -> None:
    for words in (
        ["commands", "--session", "bsr"],
        ["events", "--session", "bsr"],
        ["events", "-f", "--session", "bsr"],
    ):
        refused = await venue.run(*words)
        assert refused.status == 1
        assert "no session bsr; did you mean bar? (unknown_session)" in refused.err
    assert (await venue.run("commands", "--session", "bar")).status == 0


async def test_what_to_do_about_a_missing_key_or_quote_or_command_is_told(venue: Venue) -> None:
    words = ["call", "order.create", "order.reference=A1", 'order.lines=[{"product": "1203", "name": "Soup"}]']
    assert "such as idempotency_key=order-A-1" in (await venue.run(*words)).err
    assert "needs its own quotes" in (await venue.run(*words, "idempotency_key=k", "order.table=7")).err
    assert "`ordernpay commands` lists" in (await venue.run("commands", "nosuch")).err


def test_an_identity_is_not_broken_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "console", lambda: Console(width=60))
    terminal.print_table(["command", "error"], [[terminal.cell("f" * 32), terminal.cell("words " * 20)]])
    assert "f" * 32 in capsys.readouterr().out
