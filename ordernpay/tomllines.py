"""The lines of a TOML file's keys, which its parser does not tell."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from typing import Final

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")


def in_line(key: str, lines: Mapping[str, int]) -> str:
    """Where a key is, or the table that lacks it, for the end of a complaint."""
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return f" (line {lines[key]})" if key else ""


def lines_of(text: str) -> dict[str, int]:
    """The line of each table and key that stands on a line of its own."""
    lines: dict[str, int] = {}
    table, counts = "", Counter[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        head = _HEADER.match(line)
        names = _names(head[2] if head else line.partition("=")[0])
        if not names or (head is None and "=" not in line):
            continue
        key = ".".join(names)
        if head is None:
            for end in range(1, len(names) + 1):
                lines.setdefault(".".join([*([table] if table else []), *names[:end]]), number)
            continue
        table = key
        if head[1] == "[[":
            table, counts[key] = f"{key}[{counts[key]}]", counts[key] + 1
        lines.setdefault(table, number)
    return lines


def _names(key: str) -> list[str]:
    """The parts of a key, dotted or quoted; none where it is no key."""
    names = list[str]()
    try:
        value: object = tomllib.loads(f"{key.strip()} = 0")
    except ValueError:
        return names
    while isinstance(value, dict) and value:
        [(name, value)] = value.items()
        names.append(name)
    return names
