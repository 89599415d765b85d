"""What people and programs are shown: tables and colours on a terminal, plain text elsewhere, JSON digit for digit."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ordernpay.jsontext import JsonObject, JsonValue, dumps

_WIDE: Final = 1_000
_INDENT: Final = "  "

WHOLE: Final = frozenset({"accepted", "command", "session", "method", "state", "seq", "time", "kind"})
"""Columns of what is copied or compared, which a narrow terminal must not break."""

STATE_STYLES: Final = {
    "up": "green",
    "connecting": "yellow",
    "down": "bold red",
    "refused": "bold red",
    "accepted": "cyan",
    "sent": "cyan",
    "succeeded": "green",
    "rejected": "yellow",
    "failed": "yellow",
    "unknown": "bold white on red",
}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the program's one place for a reader that went away."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output. Where it is no terminal, no line is cut to a terminal's width."""
    width = None if sys.stdout.isatty() else _WIDE
    return _Console(markup=False, highlight=False, emoji=False, soft_wrap=True, width=width)


def printable(value: JsonValue) -> str:
    """A value in one line, without anything that a terminal would act on."""
    match value:
        case None:
            text = "-"
        case str():
            text = value
        case _:
            text = dumps(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def cell(value: JsonValue, style: str = "") -> Text:
    """A value as a table's cell."""
    return Text(printable(value), style=style, overflow="fold")


def state_cell(value: JsonValue) -> Text:
    """A state, in its colour."""
    return cell(value, STATE_STYLES.get(str(value), ""))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """A table without lines, which people can read and programs can cut."""
    made = Table(box=None, pad_edge=False, show_header=any(columns), header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        made.add_row(*row)
    out = console()
    with out.capture() as drawn:
        out.print(made, soft_wrap=False)
    for line in drawn.get().splitlines():
        click.echo(line.rstrip())


def print_json(value: JsonValue, *, err: bool = False) -> None:
    """JSON for people to read and programs to parse."""
    click.echo("\n".join(map(_escaped, _pretty(_encodable(value), ""))), err=err)


def print_json_line(value: JsonValue) -> None:
    """JSON on one line, at once."""
    click.echo(_escaped(dumps(_encodable(value))))


def say(text: str, *, err: bool = False) -> None:
    """Print lines of plain text, without anything that a terminal would act on."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=err)


def _escaped(text: str) -> str:
    """JSON with an escape for every character that a terminal would act on: the same value for a program."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    octets = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{octets[at : at + 2].hex()}" for at in range(0, len(octets), 2))


def _encodable(value: JsonValue) -> JsonValue:
    """A value whose texts can be written: the name of a file may be no UTF-8."""
    match value:
        case str():
            return value if value.isascii() else value.encode(errors="backslashreplace").decode()
        case dict():
            return {str(_encodable(key)): _encodable(entry) for key, entry in value.items()}
        case list():
            return [_encodable(entry) for entry in value]
        case _:
            return value


def objects(holder: JsonObject, key: str) -> list[JsonObject]:
    """The objects of a list in an answer."""
    value = holder.get(key)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def member(holder: JsonObject, key: str) -> JsonObject:
    """The object under a key of an answer; an empty one where there is none."""
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def whole(holder: JsonObject, key: str) -> int:
    """The whole number under a key of an answer; 0 where there is none."""
    value = holder.get(key)
    return value if isinstance(value, int) else 0


def seconds_since_1970(moment: JsonValue) -> float | None:
    """A time of an answer; None where it is none."""
    try:
        return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else None
    except ValueError:
        return None


def duration(seconds: JsonValue) -> str:
    """A duration in its two largest units."""
    total = int(seconds) if isinstance(seconds, int | float | Decimal) else 0
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    told = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(told[:2]) or "0 s"


def size(count: JsonValue) -> str:
    """A number of bytes."""
    total = count if isinstance(count, int) else 0
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if total >= limit:
            return f"{total / limit:.1f} {unit}"
    return f"{total} bytes"


def _pretty(value: JsonValue, lead: str) -> list[str]:
    """The lines of a value; `json.dumps` would turn a vendor's 6.00 into 6.0."""
    match value:
        case dict() if value:
            parts = [(f"{dumps(key)}: ", entry) for key, entry in value.items()]
            opening, closing = "{", "}"
        case list() if value:
            parts = [("", entry) for entry in value]
            opening, closing = "[", "]"
        case _:
            return [lead + dumps(value)]
    lines = [lead + opening]
    for name, entry in parts:
        inner = _pretty(entry, name)
        inner[-1] += ","
        lines += [_INDENT + line for line in inner]
    lines[-1] = lines[-1].removesuffix(",")
    return [*lines, closing]
