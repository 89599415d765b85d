"""What the daemon does for its sessions."""

import asyncio

import pytest
from structlog.testing import capture_logs

from ordernpay import sessions as module
from ordernpay.config import SessionConfig
from tests.support.fakes import ScriptedSession
from tests.support.wait import until


class Breaking(ScriptedSession):
    """A session that breaks at once, twice, and then runs."""

    runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs < 3:
            raise ExceptionGroup("inside", [ValueError("what no rule foresaw")])
        await super().run()


async def test_a_session_that_breaks_is_run_again_and_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", (0.01, 0.01))
    session = Breaking()
    opened = module.OpenSession(session, SessionConfig("scripted"))
    with capture_logs() as lines:
        running = asyncio.create_task(opened.run())
        await until(lambda: session.runs == 3)
        assert not opened.ended.is_set()
        opened.scope.cancel()
        await running
    assert opened.ended.is_set()
    assert [(line["event"], line["session"]) for line in lines] == [("session_broke", "bar")] * 2
