"""``ordernpay events``: what happened, and what happens."""

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final

import anyio
import click
from attrs import frozen
from rich.text import Text

from ordernpay.cli.asking import converse, explained, socket_option
from ordernpay.cli.completing import session_names
from ordernpay.cli.terminal import (
    cell,
    console,
    member,
    objects,
    print_json_line,
    print_table,
    printable,
    state_cell,
    whole,
)
from ordernpay.client import Client, follow
from ordernpay.jsontext import JsonObject, JsonValue

COLUMNS: Final = ("seq", "time", "session", "kind", "what")
LAST: Final = 20
PAGE: Final = 1_000


@frozen
class _Wanted:
    """Which events, and how they are shown."""

    socket: Path | None
    sessions: tuple[str, ...]
    kinds: tuple[str, ...]
    as_json: bool

    def params(self) -> JsonObject:
        """The selection, as the daemon takes it."""
        params: JsonObject = {}
        if self.sessions:
            params["sessions"] = [*self.sessions]
        if self.kinds:
            params["kinds"] = [*self.kinds]
        return params


@click.command()
@click.option("--follow", "-f", "following", is_flag=True, help="Go on with what happens, over restarts of the daemon.")
@click.option("--since", type=click.IntRange(0), metavar="N", help="Every kept event after number N.")
@click.option("--last", type=click.IntRange(0, PAGE), metavar="N", help="The last N; default 20, with --follow 0.")
@click.option(
    "--session",
    "sessions",
    multiple=True,
    metavar="NAME",
    shell_complete=session_names,
    help="Only of this session; may be repeated.",
)
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only of this kind; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one event a line.")
@socket_option
def events(
    since: int | None,
    last: int | None,
    sessions: tuple[str, ...],
    kinds: tuple[str, ...],
    socket: Path | None,
    *,
    following: bool,
    as_json: bool,
) -> None:
    """Show events, oldest first.

    With --follow, Ctrl-C ends it with exit status 0.
    """
    if since is not None and last is not None:
        raise click.UsageError("give either --since or --last, not both.")
    wanted = _Wanted(socket, sessions, kinds, as_json)
    newest = 0

    async def kept(client: Client) -> list[JsonObject]:
        nonlocal newest
        bounds = await client.call("event.list", {"limit": 1} | wanted.params())
        newest = whole(bounds, "last_seq")
        if since is None:
            return await _newest(client, wanted, last if last is not None else 0 if following else LAST, bounds)
        _tell_of_gap(since, bounds)
        return [] if following else await _after(client, wanted, since, newest)

    found = converse(socket, kept)
    if not following:
        _print(found, wanted)
        return
    try:
        _follow(wanted, found, newest if since is None else since)
    except KeyboardInterrupt:
        return


async def _after(client: Client, wanted: _Wanted, since: int, until: int) -> list[JsonObject]:
    """Every wanted event after one number and up to another."""
    found: list[JsonObject] = []
    while page := objects(await client.call("event.list", {"since": since, "limit": PAGE} | wanted.params()), "events"):
        found += [event for event in page if whole(event, "seq") <= until]
        since = whole(page[-1], "seq")
        if since >= until:
            break
    return found


async def _newest(client: Client, wanted: _Wanted, count: int, bounds: JsonObject) -> list[JsonObject]:
    """The last wanted events, looked for backwards: the daemon gives its pages forwards."""
    found: list[JsonObject] = []
    position, first = whole(bounds, "last_seq"), whole(bounds, "first_seq")
    while len(found) < count and position >= max(first, 1):
        start = max(position - PAGE, 0)
        found = await _after(client, wanted, start, position) + found
        position = start
    return found[-count:] if count else []


def _tell_of_gap(since: int, bounds: JsonObject) -> None:
    first, newest = whole(bounds, "first_seq"), whole(bounds, "last_seq")
    if since + 1 < first:
        click.echo(f"Note: events before {first} are no longer kept.", err=True)
    elif since > newest:
        click.echo(f"Note: the newest event is {newest}: number {since} is of another journal, or to come.", err=True)


def _follow(wanted: _Wanted, found: list[JsonObject], since: int) -> None:
    show = print_json_line if wanted.as_json else _line_printer()
    for event in found:
        show(event)

    async def go_on() -> None:
        feed = follow(wanted.socket, since=since, sessions=wanted.sessions or None, kinds=wanted.kinds or None)
        async with aclosing(feed):
            async for event in feed:
                show(event)

    with explained(wanted.socket):
        anyio.run(go_on)


def _print(found: list[JsonObject], wanted: _Wanted) -> None:
    if wanted.as_json:
        for event in found:
            print_json_line(event)
    elif found:
        print_table(COLUMNS, map(_row, found))
    else:
        click.echo("No such events.", err=True)


def _line_printer() -> Callable[[JsonObject], None]:
    """Prints events as they come, in columns of a fixed width."""
    out = console()
    widths = (6, 24, 12, 15, 0)

    def show(event: JsonObject) -> None:
        line = Text("  ").join(_padded(text, width) for text, width in zip(_row(event), widths, strict=True))
        out.print(line, soft_wrap=True)

    return show


def _padded(text: Text, width: int) -> Text:
    return Text.assemble(text, " " * (width - len(text)))


def _row(event: JsonObject) -> list[Text]:
    kind = event.get("kind")
    return [
        cell(event.get("seq")),
        cell(event.get("time")),
        cell(event.get("session")),
        cell(kind, "bold"),
        _what(kind, member(event, "data")),
    ]


def _what(kind: JsonValue, data: JsonObject) -> Text:
    if kind != "command.settled":
        plain = {key: value for key, value in data.items() if value is not None and not isinstance(value, dict | list)}
        return cell(", ".join(f"{key} {printable(value)}" for key, value in plain.items()))
    parts = [cell(data.get("method")), state_cell(data.get("state")), cell(data.get("command_id"))]
    error = data.get("error")
    if isinstance(error, dict):
        parts.append(cell(error.get("message")))
    return Text(" ").join(parts)
