"""The manual pages and completions: committed as they are made, whole, and understood by those who read them."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from ordernpay.cli import COMMANDS, main
from ordernpay.cli.manual import files
from ordernpay.cli.manual.roff import Block, Example, Page, Section, Term, Under, marked, plain
from ordernpay.cli.manual.settings import EXAMPLE, meanings_of
from ordernpay.config import Access, Daemon, Inbound, Journal, Rpc, Secret, read
from ordernpay.vendors import CONFIGS

SYSTEMD = Path(__file__).parents[2] / "systemd"
FILES = files()
PAGES = sorted(name for name in FILES if name.startswith("man/"))
TABLES: list[type[Any]] = [Daemon, Journal, Rpc, Access, Inbound, *CONFIGS.values()]


def shown(name: str) -> str:
    """A page as a reader sees it, its spaces made one."""
    command = ["groff", "-man", "-K", "utf8", "-T", "utf8", "-P", "-cbou"]
    told = subprocess.run(command, input=FILES[name], capture_output=True, text=True, check=True).stdout
    return " ".join(told.split())


needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_committed_is_what_is_made(name: str) -> None:
    remedy = "run `python -m ordernpay.cli.manual systemd` and commit what it writes"
    assert (SYSTEMD / name).read_text(encoding="utf-8") == FILES[name], remedy


def test_nothing_else_is_kept_beside_them() -> None:
    kept = {str(path.relative_to(SYSTEMD)) for folder in ("man", "completion") for path in (SYSTEMD / folder).iterdir()}
    assert kept == set(FILES)


def test_one_command_writes_them_all(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "ordernpay.cli.manual", str(tmp_path)], check=True)
    for name, content in FILES.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == content


@needs_groff
@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_complain_of(name: str) -> None:
    command = ["groff", "-man", "-ww", "-z", "-K", "utf8", "-T", "utf8"]
    ended = subprocess.run(command, input=FILES[name], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


@needs_groff
@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_what_a_reader_looks_for(name: str) -> None:
    headings = re.findall(r"^\.SH (.+)$", FILES[name], re.MULTILINE)
    assert {"NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"} <= set(headings)
    others = {Path(page).stem for page in PAGES} - {Path(name).stem}
    see = shown(name).rsplit("SEE ALSO", 1)[1]
    assert all(other in see for other in others)


@needs_groff
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_all_its_options(name: str) -> None:
    context = click.Context(main)
    command = main.get_command(context, name)
    assert command is not None
    page = shown("man/ordernpay.1")
    following = page[page.index(f" {name} [OPTIONS]", page.index("COMMANDS")) :]
    assert " ".join((command.help or "").split("\n\n", maxsplit=1)[0].split()) in following
    for param in command.params:
        for option in param.opts if isinstance(param, click.Option) else ():
            assert option in following


@needs_groff
@pytest.mark.parametrize("cls", TABLES, ids=lambda cls: cls.__name__)
def test_every_key_is_there_and_says_what_it_means(cls: type[Any]) -> None:
    page, meanings = shown("man/ordernpay.toml.5"), meanings_of(cls)
    for attribute in attrs.fields(cls):
        meaning = " ".join(meanings[attribute.name].replace("`", "").split()).rstrip(".")
        assert meaning[1:] in page, attribute.name
        if isinstance(attribute.default, str | int | float) and not isinstance(attribute.default, bool):
            default = f'"{attribute.default}"' if isinstance(attribute.default, str) else f"{attribute.default:g}"
            assert re.search(rf" {attribute.name} = {re.escape(default)}", page) or attribute.default >= 10**6  # type: ignore[operator]


def test_the_example_of_a_configuration_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bar-auth-secret").write_text("x", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = read(tomllib.loads(EXAMPLE), tmp_path / "ordernpay.toml", CONFIGS)
    assert getattr(config.sessions["bar"], "auth_secret", None) == Secret("x")


def test_what_means_something_to_roff_is_written_so_that_it_does_not() -> None:
    assert plain(".TH") == "\\&.TH"
    assert plain("'x' --y \\n ~ ^ `") == "\\(aqx\\(aq \\-\\-y \\en \\(ti \\(ha \\(ga"
    assert plain("é b…") == "\\[u00E9] b\\[u2026]"
    assert marked("the POS'  `--json`\n.x") == "the POS' \\fB\\-\\-json\\fR .x"
    assert marked("`.x`") == "\\fB\\&.x\\fR"


@needs_groff
def test_what_is_written_is_read_as_it_was_meant() -> None:
    blocks: list[Block] = [
        "`.x` and 'y' … it's \\e",
        Under('a "b"'),
        Term("`--a-b`", ".SH no"),
        Example(".TH\n  'two'  ~^`\\n -"),
    ]
    page = Page("x", 1, "a-b 'c'", [Section("S", blocks)])
    command = ["groff", "-man", "-ww", "-K", "utf8", "-T", "utf8", "-P", "-cbou"]
    ended = subprocess.run(command, input=page.written(), capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    for line in ("x - a-b 'c'", ".x and 'y' … it's \\e", "--a-b", ".SH no", 'a "b"', ".TH", "  'two'  ~^`\\n -"):
        assert line in ended.stdout
