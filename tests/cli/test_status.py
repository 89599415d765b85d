import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ordernpay.cli import main
from ordernpay.cli import status as module
from ordernpay.clock import rfc3339
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.simulator.faults import Fault
from tests.cli.program import ORDER, Venue, ordernpay
from tests.support.daemons import daemon_process, session, tables
from tests.support.wait import until

DAY = 86_400


async def test_people_get_a_table_and_programs_json(venue: Venue) -> None:
    await venue.call("order.create", order=ORDER)
    ended = await venue.run("status")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"ordernpay 0.1.0 at {venue.daemon.socket}, pid ")
    assert [line.split()[:3] for line in lines if line.startswith("bar")] == [["bar", "order-n-pay", "up"]]
    assert any(line.startswith("journal: 1 succeeded; 0 in flight; newest event 2;") for line in lines)
    assert any(line.startswith("clients: 1 now, ") for line in lines)

    told = json.loads((await venue.run("status", "--json")).out)
    assert told["journal"]["commands"]["succeeded"] == 1
    assert told["sessions"][0]["name"] == "bar"


async def test_an_unknown_command_stands_out(venue: Venue) -> None:
    venue.pos.faults.plan(Fault.DEAF)
    await venue.run(
        "call", "order.create", "--timeout", "0.2", "--json", json.dumps({"order": ORDER, "idempotency_key": "k1"})
    )
    ended = await venue.run("status")
    assert "1 unknown (oldest since 2" in ended.out


async def test_what_needs_a_person_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    sessions: list[JsonValue] = [
        {"name": "bar", "state": "down", "since": rfc3339(now - 3_700), "why": "It is off.", "reconnects": 4},
        {"name": "cafe", "state": "up", "certificate_expires": rfc3339(now + 12.5 * DAY)},
        {"name": "hotel", "state": "up", "certificate_expires": rfc3339(now - 1)},
    ]
    answer: JsonObject = {
        "config_error": "x.toml: rpc.mode: expected 0660\nx.toml: rpc.group: expected text",
        "needs_restart": ["rpc.mode", "inbound"],
        "sessions": sessions,
        "journal": {
            "commands": {"unknown": 2},
            "bytes": 12_345_678,
            "oldest_unknown_at": rfc3339(now - 90),
            "oldest_unknown": {"command_id": "c-1", "session": "bar", "age": 90.2},
        },
        "disk": {"path": "/var/lib/ordernpay", "free": 150_000_000, "total": 8 * 10**9, "low": True},
        "inbound": {"certificate_expires": None, "error": "own.pem: No such file or directory"},
    }
    monkeypatch.setattr(module, "ask", lambda *_: answer)
    told = CliRunner().invoke(main, ["status"]).output.splitlines()
    assert "The last reload was refused; the configuration before it is in force:" in told
    assert "  x.toml: rpc.group: expected text" in told
    assert "In force after a restart only: rpc.mode, inbound" in told
    assert "bar is down for 1 h 1 min: It is off." in told
    assert next(line for line in told if line.startswith("cafe")).split()[-4:] == ["12", "days", "left", "-"]
    assert next(line for line in told if line.startswith("hotel")).split()[-2:] == ["expired", "-"]
    assert "oldest unknown: c-1 of bar, for 1 min 30 s; see `ordernpay commands c-1`" in told
    assert any("; 12.3 MB; " in line for line in told)
    assert "disk: 150.0 MB free of 8.0 GB in /var/lib/ordernpay; LOW: make room, or no order can be taken" in told
    assert "our certificate on [inbound]: - own.pem: No such file or directory" in told


def test_a_certificate_that_ends_soon_stands_out() -> None:
    styles = [str(module._certificate_cell(rfc3339(time.time() + days * DAY)).style) for days in (30, 20.5, -1)]
    assert styles == ["", "yellow", "bold red"]


async def test_a_disk_that_cannot_be_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: JsonObject = {"disk": {"path": "/x", "free": None, "error": "Input/output error"}}
    monkeypatch.setattr(module, "ask", lambda *_: answer)
    assert "disk: unknown (Input/output error)" in CliRunner().invoke(main, ["status"]).output.splitlines()


async def test_a_session_that_is_down_is_a_report_and_no_error(artifacts: Path) -> None:
    config = tables(artifacts, {"bar": session(url="ws://127.0.0.1:9/", reconnect_min=60.0, reconnect_max=60.0)})
    async with daemon_process(artifacts, config) as daemon:
        await until(lambda: '"state": "down"' in daemon.log.read_text(encoding="utf-8"))
        ended = await ordernpay("status", "--socket", daemon.socket)
    assert ended.status == 0
    assert "bar is down for " in ended.out
    assert ": The other machine is there, but nothing listens at that port." in ended.out


async def test_a_reload_that_was_refused_is_told_until_one_is_taken(venue: Venue) -> None:
    file = venue.daemon.directory / "ordernpay.toml"
    good = file.read_text(encoding="utf-8")

    def reload(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        assert venue.daemon.process is not None
        venue.daemon.process.send_signal(signal.SIGHUP)

    async def told(what: str) -> Any:
        return (await venue.call("daemon.status"))[what]

    reload(good + "\n[journal]\nkeep_days = 0\n")
    error = await until(lambda: told("config_error"))
    assert f"{file}: journal.keep_days: " in error
    assert "The last reload was refused" in (await venue.run("status")).out
    reload(good + "\n[inbound]\nport = 0\n")
    assert await until(lambda: told("needs_restart")) == ["inbound"]
    assert await told("config_error") is None
    assert "In force after a restart only: inbound" in (await venue.run("status")).out


async def test_without_a_daemon_it_ends_with_69(tmp_path: Path) -> None:
    ended = await ordernpay("status", "--socket", str(tmp_path / "none"))
    assert ended.status == 69
