"""What the tests of the vendors start from: commands as a kiosk would call them, sessions' settings, a clock by hand."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import anyio
from attrs import define, field
from hypothesis import strategies as st

from ordernpay.clock import SystemClock
from ordernpay.commands import Command, new_id, read_params
from ordernpay.conversion import Fault, structure
from ordernpay.vendors.doshii.settings import DoshiiConfig
from ordernpay.vendors.http import Answered, Call, Http, Mark, NotSent, Result
from ordernpay.vendors.protocol import HttpRequest, Published, Report, Undecided
from ordernpay.vendors.ros.settings import RosConfig
from ordernpay.vendors.tevalis.settings import TevalisConfig

OUTLET: Final = "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"
ORDER_ID: Final = "0b8f5c1e-0a4d-4d57-9a50-6d1b7e2c9f01"
KEY: Final = "key-1"

texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that are likely to have these names, with anything in them, some of it nested in the same manner."""
    keys = st.sampled_from(names) | texts
    inner = st.recursive(
        anything | st.sampled_from(["complete", "rejected", "pending", "1", "-1", "0.5"]),
        lambda more: st.lists(more, max_size=3) | st.dictionaries(keys, more, max_size=6),
        max_leaves=30,
    )
    return st.dictionaries(keys, inner, max_size=8)


def command(method: str, params: Mapping[str, Any], **common: Any) -> Command:
    """A command as the door of the daemon would make it."""
    told, own = read_params(method, {"idempotency_key": KEY, **params, **common})
    return Command(
        new_id(), "s", method, own, told.options, told.idempotency_key or "", told.timeout, told.when_offline
    )


def ros(**changes: Any) -> RosConfig:
    """Settings of ROS."""
    table: dict[str, Any] = {
        "vendor": "ros",
        "auth_url": "http://127.0.0.1:1/authorisation/token",
        "organisation": "DEMOORG",
        "client_id": "client-1",
        "client_secret": "s&cret=1",
        "outlet_id": OUTLET,
        "provider_id": 4711,
        "provider_name": "DemoEats",
    }
    return structure(table | changes, RosConfig)


def tevalis(**changes: Any) -> TevalisConfig:
    """Settings of Tevalis."""
    table: dict[str, Any] = {
        "vendor": "tevalis",
        "site_id": 812,
        "company_id": 4021,
        "dev_id": "partner-dev-17",
        "guid": "0b7c0e5e-51a4-4b0e-9a63-6f1f2f5d8c11",
        "guid2": "8d9f5a52-3c0d-4f47-8b1e-1f7f1f0f6a22",
        "price_group_id": 3,
    }
    return structure(table | changes, TevalisConfig)


def doshii(**changes: Any) -> DoshiiConfig:
    """Settings of Doshii."""
    table: dict[str, Any] = {
        "vendor": "doshii",
        "base_url": "http://127.0.0.1:1/partner/v3",
        "location_id": "Qm7Zt1",
        "client_id": "app-client-7731",
        "client_secret": "secret-1",
    }
    return structure(table | changes, DoshiiConfig)


def said(faults: Sequence[Fault]) -> dict[str, str]:
    """Complaints by path."""
    return {fault.path: fault.message for fault in faults}


@define
class HandClock:
    """A clock that a test moves."""

    monotonic: float = 1_000.0
    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.monotonic

    def awake(self) -> float:
        return self.monotonic

    def wall(self) -> float:
        return self.time


@define
class Journal:
    """What was published; refuses with an error while it is `full`."""

    reports: list[Report] = field(factory=list)
    names: list[str | None] = field(factory=list)
    full: bool = False
    settles: int = 0
    clock: HandClock = field(factory=HandClock)
    deliveries: dict[str, float] = field(factory=dict)
    held: list[Undecided] = field(factory=list)
    ids: dict[str, dict[str, str]] = field(factory=dict)

    async def __call__(
        self,
        reports: Sequence[Report],
        once: str | tuple[str, ...] | None = None,
        within: float | None = None,
        of: str | None = None,
        also: str | None = None,
    ) -> Published:
        if self.full:
            raise OSError(28, "No space left on device")
        names = (once,) if isinstance(once, str) else once or ()
        known = [name for name in names if self._is_known(name, within)]
        self.deliveries |= dict.fromkeys(names, self.clock.wall())
        if known:
            return Published(news=False, settled=0)
        if of is not None:
            self.deliveries = {
                name: at for name, at in self.deliveries.items() if name in names or name[: len(of)] != of
            }
        if also is not None:
            self.deliveries.setdefault(also, self.clock.wall())
        self.names.append(names[0] if names else None)
        self.reports += reports
        return Published(news=True, settled=self.settles)

    async def undecided(self, name: str | None = None, value: str | None = None) -> Sequence[Undecided]:
        if self.full:
            raise OSError(5, "Input/output error")
        return [entry for entry in self.held if name is None or self.ids.get(entry.command.key, {}).get(name) == value]

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        return next((ids | {"key": key} for key, ids in self.ids.items() if ids.get(name) == value), {})

    def _is_known(self, name: str, within: float | None) -> bool:
        before = self.deliveries.get(name)
        return before is not None and (within is None or self.clock.wall() - before <= within)


@define
class Try:
    """An attempt that notes what it is told."""

    deadline: float
    sent_before: bool = False
    tried: bool = False
    knowingly: bool = False
    accepted_at: float | None = None
    remembered: Mapping[str, str] = field(factory=dict)
    marks: int = 0

    async def sending(self) -> None:
        self.marks += 1

    async def remember(self, **vendor_ids: str) -> None:
        self.remembered = {**self.remembered, **vendor_ids}

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        return {}


def in_time(seconds: float = 20.0) -> float:
    """A deadline on the machine's clock."""
    return SystemClock().now() + seconds


def webhook(body: bytes, query: Any = None, **headers: str) -> HttpRequest:
    """A request at the HTTP door; header names with `_` for `-`."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(query or {}, told, body, "127.0.0.1")


@contextlib.asynccontextmanager
async def serving(*runs: Any) -> AsyncIterator[None]:
    """Run these beside a test, until its end."""
    async with anyio.create_task_group() as tasks:
        for run in runs:
            tasks.start_soon(run)
        yield
        tasks.cancel_scope.cancel()


class Script(Http):
    """Gives prepared results instead of asking anybody."""

    def __init__(self, *results: Result) -> None:
        super().__init__(SystemClock())
        self.results = list(results)
        self.asked: list[tuple[Call, float]] = []

    async def send(
        self,
        call: Call,
        deadline: float,
        late: Callable[[Answered], None] | None = None,
        sending: Mark | None = None,
    ) -> Result:
        self.asked.append((call, deadline))
        if sending is not None and self.results and not isinstance(self.results[0], NotSent):
            await sending()
        return self.results.pop(0)
