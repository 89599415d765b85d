import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ordernpay.cli import main
from tests.cli.program import ORDER, Venue, interrupt, ordernpay


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def place(venue: Venue, *references: str) -> None:
    for reference in references:
        await venue.call("order.create", order=ORDER | {"reference": reference}, idempotency_key=reference)


async def test_people_get_a_table_and_programs_one_event_a_line(venue: Venue) -> None:
    await place(venue, "A1")
    ended = await venue.run("events")
    assert (ended.status, ended.err) == (0, "")
    header, first, second = ended.out.splitlines()
    assert header.split() == ["seq", "time", "session", "kind", "what"]
    assert first.split()[2:] == ["bar", "session.up", "state", "up"]
    assert second.split()[2:6] == ["bar", "command.settled", "order.create", "succeeded"]

    told = events_of((await venue.run("events", "--json")).out)
    assert [event["seq"] for event in told] == [1, 2]


async def test_since_last_session_and_kind_choose(venue: Venue) -> None:
    await place(venue, "A1", "A2", "A3")

    async def numbers(*words: str) -> list[int]:
        return [event["seq"] for event in events_of((await venue.run("events", "--json", *words)).out)]

    assert await numbers("--since", "2") == [3, 4]
    assert await numbers("--last", "1") == [4]
    assert await numbers("--last", "0") == []
    assert await numbers("--kind", "session.up") == [1]
    assert await numbers("--kind", "session.up", "--kind", "session.down", "--last", "5") == [1]
    assert await numbers("--session", "bar", "--since", "3") == [4]
    beyond = await venue.run("events", "--since", "99")
    assert (beyond.status, beyond.out) == (0, "")
    assert "the newest event is 4" in beyond.err


async def test_following_goes_on_over_a_restart_without_a_gap_or_a_repeat(venue: Venue) -> None:
    await place(venue, "A1")
    process = await venue.start("events", "--follow", "--since", "1", "--json", "--kind", "command.settled")
    assert process.stdout is not None
    seen = [json.loads(await process.stdout.readline())]
    await venue.daemon.kill()
    await venue.daemon.start()
    await place(venue, "A2", "A3")
    seen += [json.loads(await process.stdout.readline()) for _ in range(2)]
    assert [event["data"]["idempotency_key"] for event in seen] == ["A1", "A2", "A3"]
    ended = await interrupt(process)
    assert (ended.status, ended.out, ended.err) == (0, "", "")


async def test_following_shows_lines_in_columns_from_the_last_ones_on(venue: Venue) -> None:
    process = await venue.start("events", "--follow", "--last", "1")
    assert process.stdout is not None
    assert (await process.stdout.readline()).split()[2:4] == [b"bar", b"session.up"]
    await place(venue, "A1")
    assert (await process.stdout.readline()).split()[2:4] == [b"bar", b"command.settled"]
    assert (await interrupt(process)).status == 0


async def test_following_needs_a_daemon_to_begin_with(tmp_path: Path) -> None:
    ended = await ordernpay("events", "--follow", "--socket", str(tmp_path / "none"))
    assert ended.status == 69


def test_bad_usage_ends_with_2() -> None:
    for words in (["--since", "1", "--last", "2"], ["--since", "-1"], ["--since", "x"], ["--last", "1001"]):
        assert CliRunner().invoke(main, ["events", *words]).exit_code == 2
