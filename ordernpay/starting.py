"""The start's long part: the journal is opened, however long its disk takes."""

import signal
from collections.abc import AsyncIterator, Callable

import anyio

from ordernpay.journal import Journal
from ordernpay.systemd import Notifier, starting


async def open_or_stop(
    journal: Journal, notifier: Notifier, received: AsyncIterator[signal.Signals] | None, stop: Callable[[], None]
) -> bool:
    """Open the journal; false where a signal asked for a stop before that was done.

    Args:
        journal: the one to open.
        notifier: learns what is waited for.
        received: signals as they come.
        stop: called when one of them asks for a stop.
    """
    stopped = False

    async def heed(signals: AsyncIterator[signal.Signals], opening: anyio.CancelScope) -> None:
        nonlocal stopped
        async for number in signals:
            if number != signal.SIGHUP:  # the configuration of now was read a moment ago
                stopped = True
                stop()
                opening.cancel()
                return

    def status() -> str:
        trouble = journal.flushes.broken
        return "opening the journal" if trouble is None else f"waiting for the journal's disk: {trouble}"

    failed: Exception | None = None
    async with starting(notifier, status, journal.worked), anyio.create_task_group() as tasks:
        if received is not None:
            tasks.start_soon(heed, received, tasks.cancel_scope)
        try:
            await journal.open()
        except Exception as error:  # noqa: BLE001 - raised again below, as itself instead of in a group
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return not stopped
