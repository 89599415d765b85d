"""The house: floors, sizes, words and what is shipped. (`python -m tests` runs ruff, mypy and import-linter themselves.)"""

import ast
import importlib
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from tests.__main__ import WHOLE

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ordernpay"
FILES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAMES_OF_THE_FIELD = {
    "Common",
    "base_url",
}  # the contract's common params; the configuration's and the vendors' own word
FORBIDDEN_KINDS = {"manager", "helper", "helpers", "util", "utils", "misc", "common", "base", "abstract"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(module: str) -> Iterator[str]:
    """The modules of ours that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
        for name in names:
            if name in MODULES and name != "ordernpay":
                yield name


def reach_of(module: str) -> set[str]:
    """Everything of ours that is imported with it."""
    seen: set[str] = set()
    left = [name for name in MODULES if name == module or name.startswith(f"{module}.")]
    while left:
        for name in imports_of(left.pop()):
            if name not in seen:
                seen.add(name)
                left.append(name)
    return {name for name in seen if not name.startswith(module)}


def test_the_client_is_exact_json_and_the_codec_alone() -> None:
    assert reach_of("ordernpay.client") <= {"ordernpay.jsontext", "ordernpay.rpc", "ordernpay.rpc.jsonrpc"}


def test_the_simulator_is_nothing_of_the_daemon() -> None:
    assert reach_of("ordernpay.simulator") <= {"ordernpay.jsontext"}


def test_vendors_know_neither_the_rpc_nor_the_journal_nor_the_gateway_nor_each_other() -> None:
    reach = reach_of("ordernpay.vendors")
    assert not any(
        re.match(r"ordernpay\.(rpc|journal|gateway|events|inbound|cli|daemon|client)\b", name) for name in reach
    )
    vendors = {name.split(".")[2] for name in MODULES if name.startswith("ordernpay.vendors.") and name.count(".") >= 3}
    for vendor in vendors:
        others = {name for name in reach_of(f"ordernpay.vendors.{vendor}") if name.startswith("ordernpay.vendors.")}
        assert not any(name.split(".")[2] in vendors - {vendor} for name in others)


def test_the_pure_parts_do_no_input_or_output() -> None:
    for name in ("order_n_pay.wire", "order_n_pay.exchange", "order_n_pay.requests", "order_n_pay.answers"):
        source = MODULES[f"ordernpay.vendors.{name}"].read_text(encoding="utf-8")
        assert not re.search(
            r"^(import|from) (anyio|asyncio|socket|time|httpx|websockets|random|os)\b", source, re.MULTILINE
        )


def test_every_room_has_its_floor_in_the_linters_contracts() -> None:
    rooms = {name.split(".")[1] for name in MODULES if name != "ordernpay"}
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    floors = {room.strip().removeprefix("ordernpay.") for layer in contracts[0]["layers"] for room in layer.split("|")}
    assert rooms - floors == {"client", "simulator"}
    closed_to = {"ordernpay.client": rooms - {"client", "jsontext", "rpc", "__main__"}}
    closed_to["ordernpay.simulator"] = rooms - {"simulator", "jsontext", "__main__"}
    for source, closed in closed_to.items():
        [contract] = [one for one in contracts if one.get("source_modules") == [source]]
        assert {f"ordernpay.{room}" for room in closed} <= set(contract["forbidden_modules"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_room_and_not_two(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def names_in(path: Path) -> Iterator[str]:
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_called_by_a_word_that_says_nothing(path: Path) -> None:
    for name in names_in(path):
        words = {word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", part)}
        assert name in NAMES_OF_THE_FIELD or not words & FORBIDDEN_KINDS, name


def comments_of(path: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.removeprefix("#").strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_comments_hold_no_plans_and_no_history(path: Path) -> None:
    for comment in comments_of(path):
        assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|#\d+", comment), comment


def test_no_suppression_stands_without_its_rule() -> None:
    for path in [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]:
        for comment in comments_of(path):
            assert not re.fullmatch(r"noqa|type: ignore", comment), path


def test_types_are_shipped() -> None:
    assert resources.files("ordernpay").joinpath("py.typed").is_file()
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["ordernpay"]
    assert PROJECT["project"]["scripts"] == {"ordernpay": "ordernpay.cli:main"}


def test_checks_are_as_strict_as_they_can_be() -> None:
    assert PROJECT["tool"]["ruff"]["lint"]["select"] == ["ALL"]
    assert PROJECT["tool"]["mypy"]["strict"] is True
    assert PROJECT["tool"]["pytest"]["filterwarnings"] == ["error"]


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.endswith("__main__")))
def test_every_module_can_be_imported_alone(name: str) -> None:
    assert importlib.import_module(name).__name__ == name


def test_each_vendors_wire_is_held_to_all_its_branches() -> None:
    assert {str(path.relative_to(ROOT)) for path in PACKAGE.glob("vendors/*/wire.py")} <= set(WHOLE)
    assert [name for name in WHOLE if not (ROOT / name).is_file()] == []  # coverage would not miss it


def test_what_a_module_says_it_offers_is_there() -> None:
    for name in MODULES:
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name)
        assert [one for one in getattr(module, "__all__", []) if not hasattr(module, one)] == []


def test_what_root_runs_takes_no_module_from_where_root_stands() -> None:
    script = (ROOT / "systemd" / "install").read_text(encoding="utf-8")
    calls = re.findall(r'"\$(?:python|unfinished/bin/python)" (?=-)(\S+ \S+)', script)
    assert len(calls) > 5
    assert {call.split()[0] for call in calls} == {"-I"}
    assert script.index("\ncd /\n") < script.index("check_machine()")
