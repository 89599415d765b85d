"""Who owns what the simulator does beside its answers: the POS's thoughts and the webhooks' tries."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Chores:
    """Tasks that live as long as ``run`` does, which must be entered before the first one starts."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, entered: asyncio.Event) -> None:
        """Own the tasks until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            entered.set()
            await asyncio.Event().wait()

    def start(self, chore: Coroutine[Any, Any, None]) -> None:
        """Do this beside everything else."""
        task = self._group.create_task(chore)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Wait until nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))
