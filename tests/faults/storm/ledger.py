"""What the fake vendors have seen and done, by the kiosk's keys, and what befalls each request to them."""

import enum
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping

from attrs import define, field, frozen


class Evil(enum.Enum):
    """What befalls one request. `before` and `after` say on which side of the act."""

    CUT_BEFORE = "cut before"
    CUT_HEAD = "cut before the body is read"
    CUT_AFTER = "cut after"
    CUT_DURING = "cut during the answer"
    LATE = "answered late"
    SLOW_ACT = "acted late"
    SILENT_BEFORE = "silent before"
    SILENT_AFTER = "silent after"
    PAGE_BEFORE = "a gateway's page before"
    PAGE_AFTER = "a gateway's page after"
    PAGE_THEN_ACT = "a gateway's page, then acted"
    OWN_503_BEFORE = "its own 503 before"
    OWN_503_AFTER = "its own 503 after"
    OWN_500_BEFORE = "its own 500 before"
    OWN_500_AFTER = "its own 500 after"
    NOTHING_BEFORE = "2xx that is no answer before"
    NOTHING_AFTER = "2xx that is no answer after"
    TORN_AFTER = "half an answer after"
    REDIRECT = "307 or 308 before"
    TOO_MANY = "429 with Retry-After before"
    TIMEOUT_BEFORE = "408 or 425 before"
    TIMEOUT_AFTER = "408 after"
    UNAUTHORISED = "401 before"
    REFUSED = "its own no"
    # of websockets
    TWICE = "answered twice"
    GARBAGE = "garbage, then answered"
    FOREIGN = "an answer to nobody, then its own"
    REORDER = "answered after others"
    CLOSED_AFTER = "closed with a code after"
    HUGE = "an answer larger than is taken"


@frozen
class Act:
    """Something that a vendor did. `refused` by the outlet afterwards."""

    key: str
    kind: str
    vendor: str
    arrived: float
    done: float
    identity: str


@define(eq=False)
class Ledger:
    """The truth of a run."""

    acts: list[Act] = field(factory=list)
    by_key: dict[str, list[Act]] = field(factory=lambda: defaultdict(list))
    refused: set[str] = field(factory=set)
    """Keys whose order the outlet refused after the vendor had taken it."""

    notified: set[str] = field(factory=set)
    """Keys of which a webhook was delivered."""

    violations: list[str] = field(factory=list)
    met: Counter[str] = field(factory=Counter)
    requests: Counter[str] = field(factory=Counter)

    def act(self, key: str, kind: str, vendor: str, arrived: float, identity: str) -> None:
        """Note an act."""
        done = Act(key, kind, vendor, arrived, time.monotonic(), identity)
        self.acts.append(done)
        self.by_key[key].append(done)

    def count(self, key: str) -> int:
        """How often a key has acted."""
        return len(self.by_key.get(key, ()))

    def violation(self, vendor: str, what: str) -> None:
        """The page forbids what came."""
        if len(self.violations) < 1_000:
            self.violations.append(f"{vendor}: {what}")


@define(eq=False)
class Mischief:
    """Draws what befalls the requests to one vendor."""

    dice: random.Random
    weights: Mapping[Evil, float]
    ledger: Ledger
    vendor: str
    rate: float = 0.35
    calm: bool = False
    planned: list[Evil] = field(factory=list)
    """What befalls the next requests, whatever is drawn."""

    def pick(self) -> Evil | None:
        """What befalls the next request that changes something."""
        if self.planned:
            return self.planned.pop(0)
        if self.calm or self.dice.random() >= self.rate:
            return None
        [evil] = self.dice.choices(list(self.weights), weights=list(self.weights.values()))
        self.ledger.met[f"{self.vendor}: {evil.value}"] += 1
        return evil

    def seconds(self, low: float = 0.05, high: float = 2.5) -> float:
        """How long something takes: mostly short."""
        return low + (high - low) * self.dice.random() ** 3
