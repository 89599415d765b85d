"""Waiting for a state, never for luck."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def until(state: Callable[[], Awaitable[T]], seconds: float = ...) -> T: ...
@overload
async def until(state: Callable[[], T], seconds: float = ...) -> T: ...
async def until(state: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Poll until `state` is true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = state()
        result = await value if inspect.isawaitable(value) else value
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {inspect.getsource(state).strip()}")
        await asyncio.sleep(0.01)
