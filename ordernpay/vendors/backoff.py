"""When to dial again."""

import random
from collections.abc import Callable

from attrs import define, field


@define
class BackOff:
    """When to try again: full jitter over a doubling ceiling, at once after a link that was stable.

    Attributes:
        low: the first ceiling, in seconds.
        high: the last ceiling, in seconds.
        pick: a number from 0 to 1.
    """

    low: float
    high: float
    pick: Callable[[], float] = random.random
    _misses: int = field(default=0, init=False)

    def after_loss(self, *, stable: bool) -> float:
        """Seconds to wait after an established link was lost."""
        if stable:
            self._misses = 0
            return 0.0
        return self.after_miss()

    def after_miss(self) -> float:
        """Seconds to wait after a try that failed."""
        ceiling = min(self.high, self.low * 2.0 ** min(self._misses, 30))
        self._misses += 1
        return max(self.low / 2, self.pick() * ceiling)
