"""What every test may ask for."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

# No deadline by the clock: the machine that runs this has other things to do.
settings.register_profile("suite", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop(
        "COVERAGE_PROCESS_CONFIG", None
    )  # a worker is measured; the daemons that it starts would take half as long again

WAITING = {"faults", "examples", "cli", "integration"}
"""Folders of tests that start daemons, and mostly wait for them."""

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for daemons comes first, so that no worker is left alone with it; the search for planted secrets comes last."""
    items.sort(key=lambda item: (item.get_closest_marker("last") is not None, item.path.parent.name not in WAITING))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, which is worth reading when all is well too."""
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and report.capstdout and {"bench", "figures"} & report.keywords.keys():
            terminalreporter.section(report.nodeid.partition("::")[2], sep="-")
            told = [line for line in report.capstdout.splitlines() if line.strip() and not LOG_LINE.match(line)]
            terminalreporter.write_line("\n".join(told))


@pytest.fixture(autouse=True)
def loggers_of_modules_stay_loose(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A logger that was bound for good under one test's configuration would tell nothing to the next one's `capture_logs`."""
    configure = structlog.configure

    def loosely(**given: Any) -> None:
        configure(**given | {"cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", loosely)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def artifacts_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the daemons of all tests leave their logs, journals, metrics and events."""
    given = os.environ.get("ORDERNPAY_TEST_ARTIFACTS")
    root = Path(given) if given else tmp_path_factory.mktemp("artifacts")
    root.mkdir(parents=True, exist_ok=True)
    return root


@pytest.fixture
def artifacts(artifacts_root: Path, request: pytest.FixtureRequest) -> Path:
    """This test's own folder there."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.nodeid)[-120:]
    folder = artifacts_root / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
