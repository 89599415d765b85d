"""After every other test: no planted secret stands in anything that a daemon has written."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.planted import NEEDLES

HOLDS_THEM_ON_PURPOSE = {"ordernpay.toml"}


def written(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name not in HOLDS_THEM_ON_PURPOSE and path.stat().st_size:
            yield path


def found_in(path: Path) -> list[str]:
    """What stands around each planted secret in a file of any kind, as text and as the UTF-16 of a database."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        places = []
        for needle in NEEDLES:
            for spelt in (needle.encode(), needle.encode("utf-16-le"), needle.encode("utf-16-be")):
                place = content.find(spelt)
                if place >= 0:
                    places.append(f"{path}: {content[max(0, place - 60) : place + 60]!r}")
        return places


@pytest.mark.last
def test_no_planted_secret_stands_in_anything_that_a_daemon_has_written(artifacts_root: Path) -> None:
    files = list(written(artifacts_root))
    found = [place for path in files for place in found_in(path)]
    assert found == []
    print(f"searched {len(files)} files, {sum(path.stat().st_size for path in files)} bytes")


def test_the_search_finds_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "ordernpay.toml").write_text(f"secret = '{NEEDLES[0]}x'")
    (tmp_path / "empty.log").write_text("")
    (tmp_path / "daemon.log").write_text(f'{{"pin": "{NEEDLES[0]}1"}}')
    (tmp_path / "journal.sqlite3-wal").write_bytes(b"\x00\xff" * 9_000 + NEEDLES[0].encode() + b"\x00")
    (tmp_path / "clean").write_bytes(b"\x00" * 100)
    assert [path.name for path in written(tmp_path) if found_in(path)] == ["daemon.log", "journal.sqlite3-wal"]
