"""Standard error that nobody reads: lines are lost and counted, and nobody waits for one."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
import structlog

from ordernpay import logs
from ordernpay.stream import MOST_BYTES, Stderr

LINE = "x" * 999 + "\n"


@contextlib.contextmanager
def reader_and_stream(kind: str) -> Iterator[tuple[int, TextIO]]:
    """The reading end of a pipe or a socket, and a stream to the other."""
    if kind == "pipe":
        reading, writing = os.pipe()
    else:
        pair = socket.socketpair()
        reading, writing = (one.detach() for one in pair)
    os.set_blocking(reading, False)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        try:
            yield reading, stream
        finally:
            os.close(reading)


def all_of(reading: int) -> str:
    got = b""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(reading, 1 << 16):
            got += data
    return got.decode()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_stream_that_nobody_reads_is_not_waited_for_and_loses_whole_lines(kind: str) -> None:
    with reader_and_stream(kind) as (reading, stream):
        out = Stderr(stream)
        for _ in range(1_000):
            out.write(LINE)
        assert out.lost > 100
        assert os.get_blocking(stream.fileno()), "who else has the descriptor is not to be surprised"
        kept = all_of(reading)
        out.write("next\n")
        kept += all_of(reading)
        assert set(kept.splitlines(keepends=True)) == {LINE, "next\n"}
        assert kept.count(LINE) == 1_000 - out.lost


def test_a_line_longer_than_a_pipe_is_cut_and_stops_no_other() -> None:
    with reader_and_stream("pipe") as (reading, stream):
        out = Stderr(stream)
        out.write("é" * MOST_BYTES + "\n")
        assert all_of(reading).endswith("é (cut)\n")
        out.write("next\n")
        assert all_of(reading) == "next\n"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_is_gone_costs_lines_and_nothing_else(kind: str) -> None:
    with reader_and_stream(kind) as (reading, stream):
        out = Stderr(stream)
        os.close(os.dup(reading))
        os.dup2(os.open(os.devnull, os.O_RDONLY), reading)
        for _ in range(3):
            out.write(LINE)
        assert out.lost == 3


def test_the_count_of_what_was_lost_is_told_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with reader_and_stream("pipe") as (reading, stream):
        monkeypatch.setattr(sys, "stderr", stream)
        try:
            structlog.reset_defaults()
            logs.configure(colours=False)
            log: Any = structlog.get_logger("x")
            for number in range(2_000):
                log.info("command_ended", number=number, text="x" * 200)
            logs.tell_held_back()
            assert '"log_lines_lost"' not in all_of(reading)
            logs.tell_held_back()
            assert '"count": ' in (told := all_of(reading))
            assert '"log_lines_lost"' in told
            logs.tell_held_back()
            assert all_of(reading) == ""
        finally:
            structlog.reset_defaults()


def test_a_standard_descriptor_that_was_closed_is_never_a_file_of_ours() -> None:
    program = (
        "import os; from ordernpay import logs; logs.configure(); logs.structlog.get_logger().info('x');"
        "opened = os.open('/dev/zero', os.O_RDONLY); os._exit(0 if opened > 2 else 1)"
    )
    closed = "0<&- 1>&- 2>&-"
    assert subprocess.run(["sh", "-c", f'exec {sys.executable} -c "{program}" {closed}'], check=False).returncode == 0
