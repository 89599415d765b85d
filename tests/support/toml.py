"""Configuration files, written from the same tables that a test would read."""

import json
from pathlib import Path
from typing import Any


def write(path: Path, tables: dict[str, Any]) -> Path:
    """Write nested tables as TOML; lists of tables become inline ones."""
    path.write_text("\n".join(_lines(tables, ())) + "\n", encoding="utf-8")
    return path


def _lines(table: dict[str, Any], name: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict) or _inline(value)}
    lines = [f"[{'.'.join(name)}]"] if name and (plain or not table) else []
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if key not in plain:
            lines += ["", *_lines(value, (*name, key))]
    return lines


def _inline(value: dict[str, Any]) -> bool:
    return bool(value) and not any(isinstance(entry, dict | list) for entry in value.values()) and len(value) <= 1


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_value(entry) for entry in value) + "]"
        case str():
            return json.dumps(value)
        case _:
            return str(value)
