"""The dashboard, the alerts and the README speak of metrics that there are, and of all of them."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from tests.metrics.exposition import Page, read
from tests.metrics.traffic import after_traffic

ROOT: Final = Path(__file__).parent.parent.parent
DASHBOARD: Final[dict[str, Any]] = json.loads((ROOT / "systemd/grafana/ordernpay.json").read_text(encoding="utf-8"))
PANELS: Final[list[dict[str, Any]]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES: Final = ROOT / "systemd/prometheus/ordernpay.rules.yml"
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")

OF_PROMETHEUS: Final = {"up": {"instance", "job"}}
TARGETS: Final = {"instance", "job"}
UNITS: Final = {"short", "s", "bytes", "cpm", "percentunit"}
BUILT_IN: Final = {"__rate_interval", "labels", "value"}


@define
class Used:
    """The metrics of an expression, each with the labels by which it is chosen, grouped or told."""

    metrics: dict[str, set[str]] = field(factory=dict)

    @classmethod
    def of(cls, expression: str, legend: str = "") -> "Used":
        """Read one, as far as ours go."""
        grouped = {label.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for label in by.split(",")}
        bare = re.sub(r"\bby \([^)]*\)", "", expression)
        used = cls()
        for name, matchers in re.findall(r"\b((?:ordernpay|process)_\w+|up)\b(?:\{([^}]*)\})?", bare):
            chosen = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers))
            used.metrics.setdefault(name, set()).update(chosen, grouped, re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))
        return used


def faults_of(used: Used, page: Page) -> list[str]:
    """What is named there and not told by the daemon."""
    known = {name: set(labels) for name, labels in page.labels().items()} | OF_PROMETHEUS
    strangers = [name for name in used.metrics if name not in known]
    labels = {name: labels - known[name] - TARGETS for name, labels in used.metrics.items() if name in known}
    return strangers + [f"{name}: {', '.join(sorted(more))}" for name, more in labels.items() if more]


def rules() -> list[dict[str, str]]:
    """The rules, read as far as their form goes: `key: value`, and folded blocks."""
    found: list[dict[str, str]] = []
    folded: tuple[int, str] | None = None
    for line in RULES.read_text(encoding="utf-8").splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if folded is not None and (indent > folded[0] or not text):
            found[-1][folded[1]] = f"{found[-1][folded[1]]} {text}".strip()
            continue
        folded = None
        if not text or text.startswith("#"):
            continue
        matched = re.fullmatch(r"(?:- )?(\w+):(?: (.*))?", text)
        assert matched, f"not understood: {line}"
        assert indent % 2 == 0, line
        key, value = matched[1], matched[2] or ""
        if text.startswith("- alert:"):
            found.append({})
        if not found:
            continue
        found[-1][key] = "" if value == ">-" else value.strip('"')
        folded = (indent, key) if value == ">-" else None
    return found


async def test_the_dashboard_and_the_alerts_ask_for_what_there_is(artifacts: Path) -> None:
    page = read(await after_traffic(artifacts))
    asked = [
        (panel["title"], target["expr"], target["legendFormat"]) for panel in PANELS for target in panel["targets"]
    ]
    asked += [(rule["alert"], part, "") for rule in rules() for part in rule["expr"].split(" or ")]
    used = [(title, Used.of(expression, legend)) for title, expression, legend in asked]
    assert [title for title, one in used if not one.metrics] == []
    assert [(title, faults) for title, one in used if (faults := faults_of(one, page))] == []


async def test_the_readme_tells_every_metric_and_no_other(artifacts: Path) -> None:
    page = read(await after_traffic(artifacts))
    parts = re.compile(r"_(bucket|count|sum|created)$")
    told = {parts.sub("", name): set(labels) - {"le"} for name, labels in page.labels().items()}
    table = README.partition("### Metrics\n")[2].partition("\n### ")[0]
    documented: dict[str, set[str]] = {}
    for names, labels in re.findall(r"^\| (`\w+`[^|]*) \| ([^|]+) \|", table, re.MULTILINE):
        documented |= {name: set(re.findall(r"`(\w+)`", labels)) for name in re.findall(r"`(\w+)`", names)}
    over_tls_alone: dict[str, set[str]] = {
        "ordernpay_certificate_expires_timestamp_seconds": {"session"},
        "ordernpay_certificate_shown_expires_timestamp_seconds": set(),
    }
    assert documented == told | over_tls_alone


async def test_the_dashboard_has_all_that_an_operator_watches() -> None:
    watched = {name for panel in PANELS for target in panel["targets"] for name in Used.of(target["expr"]).metrics}
    wanted = (
        *("sessions", "session_state", "session_reconnects_total", "commands_total", "in_flight", "unknown_commands"),
        *("oldest_unknown_age_seconds", "command_seconds_bucket", "stage_seconds_bucket", "webhooks_total"),
        *("events_total", "journal_flush_seconds_bucket", "loop_lag_seconds_bucket", "disk_free_bytes"),
        *("journal_bytes", "journal_writable", "clients", "build_info"),
    )
    assert {f"ordernpay_{name}" for name in wanted} <= watched


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit_and_what_to_do(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert target["expr"].count("(") == target["expr"].count(")")
        seconds = "_seconds" in target["expr"] and "cpu" not in target["expr"]
        overridden = panel["fieldConfig"]["overrides"]
        assert overridden or seconds == (panel["fieldConfig"]["defaults"]["unit"] == "s")
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_have_a_place_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart
        assert one["x"] + one["w"] <= 24


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """Its data source is chosen on the page; it was made by nobody's own Grafana."""
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert DASHBOARD["id"] is None
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"]))) <= {*variables, *BUILT_IN}


def test_there_are_three_alerts_and_each_says_what_to_do() -> None:
    assert [rule["alert"] for rule in rules()] == ["OrdersDoNotGetThrough", "OrderInDoubt", "JournalInDanger"]
    for rule in rules():
        assert set(rule) == {
            *("alert", "expr", "for", "labels", "annotations", "severity", "summary", "description"),
        }
        assert re.fullmatch(r"[15]m", rule["for"])
        assert rule["severity"] in {"critical", "warning"}
        assert len(rule["description"]) > 80
        assert rule["expr"].count("(") == rule["expr"].count(")")
        for text in (rule["summary"], rule["description"]):
            assert text.count("{{") == text.count("}}")
        assert set(re.findall(r"\$(\w+)", rule["summary"] + rule["description"])) <= BUILT_IN
