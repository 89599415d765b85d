"""Tests that need a machine of their own. Outside of the box (see `run-in-box`) they are skipped."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.systemd.machine import main_pid, run
from tests.systemd.venue import Venue, start_tills

HERE: Final = Path(__file__).parent
FIRST: Final = "test_operators_page"
"""Follows the operator's page on a machine that has never seen ordernpay."""
FRESH: Final = "test_doctor"
"""Looks at a venue in which nothing has happened yet."""
LAST: Final = "test_installing"
"""Takes the venue apart."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files, and nothing outside of the box."""
    outside = pytest.mark.skip(reason="needs a machine of its own: python -m tests.systemd")
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        if item.get_closest_marker("box") is not None and os.environ.get("ORDERNPAY_BOX") != "1":
            item.add_marker(outside)
    if ours == items:
        items.sort(key=lambda item: (item.path.stem != FIRST, item.path.stem != FRESH, item.path.stem == LAST))


@pytest.fixture(scope="session")
def installed_venue() -> Venue:
    """Every simulated point of sale, the service installed beside them, its users, all sessions up."""
    venue = Venue(start_tills())
    venue.install()
    return venue


@pytest.fixture
def venue(installed_venue: Venue) -> Iterator[Venue]:
    """The venue, which is put back as it was after the test."""
    pid = main_pid()
    yield installed_venue
    installed_venue.put_back(pid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a test that failed: what the system's log says of the service."""
    report = yield
    if report.failed and os.environ.get("ORDERNPAY_BOX") == "1" and item.path.is_relative_to(HERE):
        log = run(
            "journalctl", "--no-pager", "--unit", "ordernpay.service", "--lines", "40", "--output", "short-precise"
        )
        report.sections.append(("journalctl -u ordernpay", log.out))
    return report
