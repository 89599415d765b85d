import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ordernpay.cli import main
from ordernpay.cli.call import _built
from ordernpay.simulator.faults import Fault
from ordernpay.simulator.shop import CREATE_ORDER, GET_OPEN_ORDERS
from tests.cli.program import ORDER, Venue, interrupt, ordernpay
from tests.support.wait import until

CREATE = {"order": ORDER, "idempotency_key": "k1"}
AS_NOBODY = """
import os, sys
import anyio._backends._asyncio, ordernpay.cli.call
from ordernpay.cli import main
os.setgroups([]), os.setgid(65534), os.setuid(65534)
main(sys.argv[1:])
"""


def error_of(stderr: str) -> dict[str, Any]:
    """The JSON that follows the sentences."""
    error: dict[str, Any] = json.loads(stderr[stderr.index("\n{") :])
    return error


@pytest.mark.parametrize(
    ("pairs", "params"),
    [
        (["session=bar"], {"session": "bar"}),
        (["mine=true", "covers=2", "nothing=null"], {"mine": True, "covers": 2, "nothing": None}),
        (['pin="9071"'], {"pin": "9071"}),
        (["note=a=b", "empty="], {"note": "a=b", "empty": ""}),
        (["order.reference=A1", "order.table=T4"], {"order": {"reference": "A1", "table": "T4"}}),
        (['order={"reference": "A1"}', "order.covers=2"], {"order": {"reference": "A1", "covers": 2}}),
        (['sessions=["bar"]'], {"sessions": ["bar"]}),
        (["a=not json", "b={oops"], {"a": "not json", "b": "{oops"}),
    ],
)
def test_values_are_json_where_they_can_be_and_text_otherwise(pairs: list[str], params: dict[str, Any]) -> None:
    assert _built(tuple(pairs)) == params


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["order.list", "table"], "expected KEY=VALUE"),
        (["order.list", "=4"], "expected KEY=VALUE"),
        (["order.list", "order..table=4"], "expected KEY=VALUE"),
        (["order.list", "a=1", "a=2"], "given twice"),
        (["order.list", "a=1", "a.b=2"], "has a value already"),
        (["order.list", "--json", "{"], "--json: not JSON"),
        (["order.list", "--json", "[]"], "expected an object"),
        (["order.list", "--json", "{}", "a=1"], "not both"),
        (["order.list", "--timeout", "5", "timeout=5"], "given twice"),
        (["order.list", "--timeout", "0"], "--timeout"),
        ([], "METHOD"),
    ],
)
def test_bad_usage_is_told_and_ends_with_2(words: list[str], said: str) -> None:
    ended = CliRunner().invoke(main, ["call", *words])
    assert ended.exit_code == 2
    assert said in ended.stderr


async def test_a_result_is_json_on_stdout_digit_for_digit(venue: Venue) -> None:
    lines = json.dumps(ORDER["lines"])
    words = ("session=bar", "order.reference=A1", 'order.table="14"', f"order.lines={lines}", "idempotency_key=k1")
    ended = await venue.run("call", "order.create", *words)
    assert (ended.status, ended.err) == (0, "")
    answer = json.loads(ended.out)
    assert answer["state"] == "succeeded"
    assert answer["result"]["order"]["total"] == "4.50"
    assert '"Amount": 4.50,' in ended.out
    again = await venue.run("call", "order.create", *words)
    assert json.loads(again.out)["command_id"] == answer["command_id"]
    assert len(venue.shop.acts) == 1


async def test_whole_params_come_from_the_command_line_or_from_stdin(venue: Venue) -> None:
    text = json.dumps({"pin": "9071"})
    for words, stdin in ((("--json", text), b""), (("--json", "-"), text.encode())):
        ended = await venue.run("call", "user.lookup", *words, stdin=stdin)
        assert json.loads(ended.out)["result"]["name"] == "Asha"


async def test_an_rpc_error_is_told_in_words_and_as_json_and_ends_with_1(venue: Venue) -> None:
    ended = await venue.run("call", "order.list", "table=14", "sessoin=bar")
    assert (ended.status, ended.out) == (1, "")
    assert "table: expected text" in ended.err
    assert "What to do:" in ended.err
    assert venue.daemon.socket in ended.err
    assert error_of(ended.err)["code"] == -32602

    ended = await venue.run("call", "order.lisst")
    assert ended.status == 1
    assert "`ordernpay schema` lists the methods" in ended.err

    missing = "a60fba87-58ec-4b12-b71c-000000000000"
    ended = await venue.run(
        *("call", "order.update", "idempotency_key=u1", f"order_id={missing}"),
        'lines=[{"product": "1203", "name": "Soup"}]',
    )
    assert ended.status == 1
    assert "the vendor says: The specified order does not exist!" in ended.err
    assert error_of(ended.err)["data"]["state"] == "rejected"


async def test_a_change_without_a_key_is_told_why_it_needs_one(venue: Venue) -> None:
    ended = await venue.run("call", "order.create", "--json", json.dumps({"order": ORDER}))
    assert ended.status == 1
    assert "  idempotency_key: required for order.create: " in ended.err
    assert venue.shop.acts == []


async def test_the_timeout_is_the_daemons_and_an_unknown_outcome_says_what_not_to_do(venue: Venue) -> None:
    venue.pos.faults.plan(Fault.DEAF, message_type=CREATE_ORDER)
    ended = await venue.run("call", "order.create", "--timeout", "0.3", "--json", json.dumps(CREATE))
    assert ended.status == 1
    assert "do not order anew" in ended.err
    assert error_of(ended.err)["code"] == 1006


async def test_no_daemon_ends_with_69_and_says_where_and_what_to_do(tmp_path: Path) -> None:
    missing = tmp_path / "none.sock"
    ended = await ordernpay("call", "session.list", "--socket", str(missing))
    assert (ended.status, ended.out) == (69, "")
    assert f"no daemon at {missing}" in ended.err
    assert "Start it" in ended.err


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="onp-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
@pytest.mark.parametrize("closed", ["socket", "directory"])
async def test_a_closed_socket_ends_with_69_and_names_its_group(open_directory: Path, closed: str) -> None:
    inner = open_directory / "run"
    inner.mkdir(mode=0o755)
    path = inner / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o660)
        if closed == "directory":
            inner.chmod(0o750)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AS_NOBODY, "call", "session.list", "--socket", str(path)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 69, err
    assert f"permission denied at {path}".encode() in err
    assert b"belongs to group root" in err
    assert b"nobody is not in it" in err


async def test_an_error_leads_to_the_journal_only_where_the_command_is_in_it(venue: Venue) -> None:
    venue.pos.faults.plan(Fault.SILENT, message_type=CREATE_ORDER)
    venue.pos.faults.plan(Fault.SILENT, message_type=GET_OPEN_ORDERS)
    changing = await venue.run("call", "order.create", "--json", json.dumps(CREATE | {"timeout": 0.3}))
    reading = await venue.run("call", "order.list", "timeout=0.3")
    assert (changing.status, reading.status) == (1, 1)
    assert "(unknown); see `ordernpay commands " in changing.err
    assert "(failed), which is not kept: it has no effect" in reading.err
    assert "ordernpay commands" not in reading.err


async def test_ctrl_c_ends_quietly_and_takes_nothing_back(venue: Venue) -> None:
    venue.pos.faults.plan(Fault.SILENT, message_type=CREATE_ORDER)
    process = await venue.start("call", "order.create", "--timeout", "60", "--json", json.dumps(CREATE))
    await until(lambda: venue.shop.acts)
    ended = await interrupt(process)
    assert (ended.status, ended.out, ended.err) == (130, "", "")


async def test_a_daemon_that_dies_meanwhile_ends_with_69_and_says_what_holds(venue: Venue) -> None:
    venue.pos.faults.plan(Fault.SILENT, message_type=CREATE_ORDER)
    process = await venue.start("call", "order.create", "--json", json.dumps(CREATE))
    await until(lambda: venue.shop.acts)
    await venue.daemon.kill()
    _, err = await process.communicate()
    assert process.returncode == 69
    assert b"same idempotency_key never acts twice" in err


async def test_a_reader_that_has_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ordernpay", "schema", stdout=write, stderr=asyncio.subprocess.PIPE
    )
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
