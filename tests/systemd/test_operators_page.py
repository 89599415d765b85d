"""The operator's page, followed line by line by a new user, on a machine that has never seen ordernpay."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import ENVIRON
from tests.systemd.venue import ETC, RELEASES, ROOT, STATE, wheels

PAGE = ROOT / "systemd" / "README.md"
OFFLINE = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1"}
"""What the page takes from the internet comes from a folder here."""


def commands(page: str) -> Iterator[str]:
    """Each command of the blocks ```sh, in order; with its further lines, if it has any. Not of ```sh ignore."""
    for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        lines = iter(block.splitlines())
        for line in lines:
            whole, here = line, re.search(r"<<'(\w+)'", line)
            while whole.endswith("\\") or (here and not whole.endswith(f"\n{here[1]}")):
                whole += f"\n{next(lines)}"
            yield whole


def script(steps: list[str]) -> str:
    """The same, which tells on descriptor 3 how each ended, and ends with the first that failed."""
    told = 'status=$?; echo "$status" >&3; [ $status = 0 ] || exit $status'
    return "\n".join([f"cd {ROOT}", *(f"{step}\n{told}" for step in steps), ""])


def test_the_page_is_read_as_it_is_meant() -> None:
    page = "```sh\na \\\n  b\nc <<'END'\nd\nEND\n```\n```sh ignore\nno\n```\ntext\n```sh\ne\n```\n"
    assert [*commands(page)] == ["a \\\n  b", "c <<'END'\nd\nEND", "e"]
    told = subprocess.run(
        ["bash", "-c", script(["true", "x=5", "(exit $x)", "true"])], check=False, pass_fds=[], cwd="/"
    )
    assert told.returncode == 5
    assert PAGE.read_text(encoding="utf-8").count("```sh ignore\n") == 2


@pytest.mark.box
@pytest.mark.timeout(240)
def test_every_line_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    steps = [*commands(PAGE.read_text(encoding="utf-8"))]
    assert len(steps) > 40
    followed, told, shown = tmp_path / "page.sh", tmp_path / "statuses", tmp_path / "shown"
    followed.write_text(script(steps), encoding="utf-8")
    with shown.open("wb") as out:
        subprocess.run(
            ["bash", "-c", f'. "{followed}" 3> "{told}"'],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=ENVIRON | OFFLINE | {"PIP_FIND_LINKS": wheels()},
            check=False,
        )
    print(shown.read_text(encoding="utf-8", errors="replace"))
    statuses = told.read_text().split()
    last = steps[min(len(statuses), len(steps)) - 1]
    text = shown.read_text(encoding="utf-8", errors="replace")
    assert statuses == ["0"] * len(steps), f"{last}\nended with {statuses[-1:]}:\n{text[-3_000:]}"
    assert '"state": "succeeded"' in text
    assert [path for path in (ETC, STATE, RELEASES.parent) if path.exists()] == []
