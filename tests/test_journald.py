"""The journal's native protocol: a line for people, fields for programs, nothing forged, nobody waited for."""

import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from ordernpay import journald, logs


def parsed(datagram: bytes) -> dict[str, str]:
    """The fields of an entry, read as the protocol's page says."""
    found: dict[str, str] = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            datagram = rest
        else:
            [length] = struct.unpack("<Q", rest[:8])
            value, end, datagram = rest[8 : 8 + length], rest[8 + length : 9 + length], rest[9 + length :]
            assert end == b"\n"
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(str(tmp_path / "socket"))
        yield sock


def written(journal: socket.socket, **event: Any) -> dict[str, str]:
    journald.Logger(journal.getsockname()).msg(**journald.render(None, "", event))
    return parsed(journal.recv(1 << 20))


def test_a_line_has_a_priority_words_for_people_and_a_field_for_each_value(journal: socket.socket) -> None:
    entry = written(
        journal, event="command_ended", level="info", timestamp="x", session="bar", milliseconds=38, vendor_code=None
    )
    assert entry == {
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "ordernpay",
        "MESSAGE": "command_ended session=bar milliseconds=38 vendor_code=null",
        "ORDERNPAY_EVENT": "command_ended",
        "ORDERNPAY_SESSION": "bar",
        "ORDERNPAY_MILLISECONDS": "38",
    }


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")]
)
def test_levels_are_syslogs(level: str, priority: str, journal: socket.socket) -> None:
    assert written(journal, event="x", level=level)["PRIORITY"] == priority


def test_no_value_can_forge_a_field_or_a_line(journal: socket.socket) -> None:
    entry = written(journal, event="x", level="info", reason="bad\nPRIORITY=0\nMESSAGE=all is well")
    assert entry["PRIORITY"] == "6"
    assert entry["ORDERNPAY_REASON"] == "bad\nPRIORITY=0\nMESSAGE=all is well"
    assert entry["MESSAGE"] == 'x reason="bad\\nPRIORITY=0\\nMESSAGE=all is well"'


def test_odd_keys_and_texts_become_what_the_journal_takes(journal: socket.socket) -> None:
    entry = written(journal, event="x", level="info", **{"a-b.ü": "\udcff"})
    assert entry["ORDERNPAY_A_B__"] == "\\udcff"


def test_a_journal_that_does_not_keep_up_is_not_waited_for_and_the_loss_is_told(journal: socket.socket) -> None:
    logger = journald.Logger(journal.getsockname())
    for number in range(5_000):
        logger.msg(level="info", line=f"line {number}", fields={})
    assert logger.lost > 0
    while True:
        try:
            journal.recv(1 << 16)
        except BlockingIOError:
            break
    lost = logger.lost
    logger.msg(level="info", line="after", fields={})
    assert parsed(journal.recv(1 << 16))["ORDERNPAY_LINES_LOST"] == str(lost)
    assert logger.lost == 0


@pytest.mark.parametrize("why", ["nobody listens", "too big"])
def test_what_the_journal_does_not_take_goes_to_the_stream(
    why: str, journal: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    address = journal.getsockname() if why == "too big" else "/nowhere"
    logger = journald.Logger(address)
    logger.msg(
        level="error", line="journal_damaged\nreason=x", fields={"A": "x" * (4 << 20 if why == "too big" else 1)}
    )
    assert capsys.readouterr().err == "<3>journal_damaged reason=x\n"


def test_it_is_spoken_only_where_stderr_is_the_journals_stream(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        found = os.fstat(file.fileno())
        stream = f"{found.st_dev}:{found.st_ino}"
        assert journald.speaks_to_journald({"JOURNAL_STREAM": stream}, file.fileno())
        assert not journald.speaks_to_journald({"JOURNAL_STREAM": f"{found.st_dev}:1"}, file.fileno())
        assert not journald.speaks_to_journald({}, file.fileno())


def test_secrets_are_out_before_anything_is_sent(
    journal: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "_to_journald", lambda: True)
    monkeypatch.setattr(journald, "SOCKET", journal.getsockname())
    monkeypatch.setattr(journald.Logger.__init__, "__defaults__", (journal.getsockname(), None))
    try:
        structlog.reset_defaults()
        logs.configure(colours=False)
        log = structlog.get_logger("x").bind(session="bar")
        log.error("told", token="PLANTED-1", reason="Bearer PLANTED-22222222")
        entry = parsed(journal.recv(1 << 16))
        assert "PLANTED" not in str(entry)
        assert (entry["ORDERNPAY_SESSION"], entry["PRIORITY"]) == ("bar", "3")
        try:
            pin = "PLANTED-3"
            raise ValueError(f"pin={pin}")
        except ValueError:
            log.exception("command_broke")
        entry = parsed(journal.recv(1 << 16))
        assert "PLANTED" not in str(entry)
        assert "ValueError" in entry["ORDERNPAY_EXCEPTION"]
        logging.getLogger("websockets").warning("odd pin=%s", "PLANTED-4")
        line = capsys.readouterr().err
        assert line.startswith('<4>{"')
        assert "PLANTED" not in line
    finally:
        structlog.reset_defaults()
