from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli import program


@pytest.fixture
async def venue(artifacts: Path) -> AsyncIterator[program.Venue]:
    async with program.venue(artifacts) as running:
        yield running
