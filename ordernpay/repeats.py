"""Lines of the log that repeat: the first few are written, the others counted, and the count is told."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

import structlog
from attrs import define, field

BURST: Final = 5
WINDOW: Final = 300.0
"""Seconds within which so many lines of one kind are written."""

MOST_KINDS: Final = 10_000
MOST_TEXT: Final = 200
MOST_PATHS: Final = 20
"""Of one kind: a path is a stranger's word, and each line of a flood may have another."""

ALWAYS: Final = frozenset(
    {
        "command_ended",
        "command_settled_late",
        "command_resolved",
        "configuration_refused",
        "configuration_reloaded",
        "daemon_started",
        "daemon_stopped",
        "daemon_stopping",
        "reload_refused",
        "reload_needs_restart",
        "log_lines_lost",
        "repeats_held_back",
        "start_failed",
    }
)
"""The one line of each command, and what answers an operator's word."""

KINDS: Final = ("level", "event", "session", "state", "path")
"""Lines that agree in these are repeats of each other; a session that comes up again is no repeat of its going down."""


@define
class _Seen:
    since: float
    written: int = 0
    held: int = 0


@define
class Repeats:
    """A structlog processor, to stand behind those that add level and context."""

    clock: Callable[[], float] = time.monotonic
    burst: int = BURST
    window: float = WINDOW
    total: int = 0
    _seen: dict[tuple[str, ...], _Seen] = field(factory=dict)
    _paths: Counter[tuple[str, ...]] = field(factory=Counter)

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let a line through, or hold it back."""
        if event.get("event") in ALWAYS:
            return event
        seen = self._seen_of(tuple(str(event.get(key, ""))[:MOST_TEXT] for key in KINDS))
        if seen.written < self.burst:
            seen.written += 1
            return event
        seen.held += 1
        self.total += 1
        raise structlog.DropEvent

    def _seen_of(self, kind: tuple[str, ...]) -> _Seen:
        """What was seen of a kind; where there are too many, of all those together that differ in path or session only."""
        if kind not in self._seen and len(self._seen) >= MOST_KINDS:
            kind = (*kind[:2], "", "", "")
        if kind not in self._seen and kind[-1]:
            if self._paths[kind[:-1]] >= MOST_PATHS:
                kind = (*kind[:-1], "")
            else:
                self._paths[kind[:-1]] += 1
        return self._seen.setdefault(kind, _Seen(self.clock()))

    def due(self, *, everything: bool = False) -> Iterator[dict[str, Any]]:
        """What was held back in windows that are over (or in all), each as the values of a line that tells it."""
        now = self.clock()
        for kind, seen in list(self._seen.items()):
            if everything or now - seen.since >= self.window:
                del self._seen[kind]
                if kind[-1]:
                    self._paths -= Counter({kind[:-1]: 1})
                if seen.held:
                    told = {"what" if key == "event" else key: value for key, value in zip(KINDS, kind, strict=True)}
                    level = told.pop("level")
                    values: dict[str, Any] = {key: value for key, value in told.items() if value}
                    yield {"level": level, "count": seen.held, "seconds": round(now - seen.since)} | values
