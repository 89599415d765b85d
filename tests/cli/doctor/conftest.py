import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NOBODY = 65_534

Becoming = Callable[[], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def _nobody() -> Iterator[None]:
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user can reach, with a short path."""
    with tempfile.TemporaryDirectory(prefix="onp-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture
def as_nobody() -> Becoming:
    """Act as a user who is in no group, for a while."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return _nobody
