"""Doshii's webhooks: an event is posted until it is taken.

Sources, below https://support.doshii.com/developer-support/: ``subscription`` and
``hc/en-us/articles/17257896502553-webhook-retries``; https://support.doshii.io/hc/en-us/articles/360007292513-Create-Webhook.

Assumed, because no page that was seen says it:

====================  ==================================================================================================
the verification      a POST, or what ``verify_method`` says, with ``?verify=<text>``; the answer is that text as JSON
its Authorization     the same as that of deliveries
a token alone         ``Bearer <token>``; neither key nor token: no Authorization
10 retries            are 10 tries after the first
====================  ==================================================================================================
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Sequence
from typing import Final

import httpx
from attrs import define, field, frozen

from ordernpay.simulator.doshii.chores import Chores

SHORT_GAPS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12)
JSON: Final = {"content-type": "application/json"}


@frozen
class Hook:
    """Where events are posted. No ``events`` means all of them."""

    url: str
    key: str | None = None
    token: str | None = field(default=None, repr=False)
    events: frozenset[str] = frozenset()

    def headers(self) -> dict[str, str]:
        """With what a delivery proves where it comes from."""
        if self.token is None:
            return JSON
        if self.key is None:
            return {**JSON, "authorization": f"Bearer {self.token}"}
        pair = base64.b64encode(f"{self.key}:{self.token}".encode()).decode()
        return {**JSON, "authorization": f"Basic {pair}"}


@frozen
class Delivery:
    """One try: its place among the tries of its event, from 1, and the status that came, if any."""

    event: str
    url: str
    body: bytes
    attempt: int
    status: int | None

    @property
    def taken(self) -> bool:
        """Whether there will be no other."""
        return self.status is not None and 200 <= self.status < 300


@define(eq=False)
class Webhooks:
    """All webhooks of the App.

    Args:
        gaps: Seconds between the tries of an event; as many retries as there are gaps.
        timeout: Seconds within which an answer must come.

    Attributes:
        deliveries: Every try, in the order of the answers.
        given_up: The events that nobody took.
    """

    client: httpx.AsyncClient
    chores: Chores
    gaps: Sequence[float] = SHORT_GAPS
    timeout: float = 10.0
    verify_method: str = "POST"
    hooks: list[Hook] = field(factory=list)
    deliveries: list[Delivery] = field(factory=list)
    given_up: list[str] = field(factory=list)
    latency: float | None = None
    _first_tries: "set[asyncio.Future[None]]" = field(factory=set)

    async def register(
        self, url: str, key: str | None = None, token: str | None = None, *, events: Sequence[str] = ()
    ) -> bool:
        """Register a webhook, for these events or for all, after the verification call; whether that went well."""
        hook = Hook(url, key, token, frozenset(events))
        if not await self.verify(hook):
            return False
        self.hooks.append(hook)
        return True

    async def verify(self, hook: Hook) -> bool:
        """Make the verification call alone."""
        word = secrets.token_hex(8)
        began = time.monotonic()
        try:
            answer = await self.client.request(
                self.verify_method, hook.url, params={"verify": word}, headers=hook.headers(), timeout=self.timeout
            )
        except httpx.HTTPError:
            return False
        self.latency = time.monotonic() - began
        try:
            return answer.is_success and bool(answer.json() == word)
        except ValueError:
            return False

    def deliver(self, event: str, body: bytes) -> None:
        """Post an event to whoever wants it, until it is taken."""
        for hook in self.hooks:
            if not hook.events or event in hook.events:
                tried = asyncio.get_running_loop().create_future()
                self._first_tries.add(tried)
                self.chores.start(self._deliver(hook, event, body, tried))

    async def tried(self) -> None:
        """Wait until everything was posted once, taken or not."""
        if self._first_tries:
            await asyncio.wait(set(self._first_tries))

    async def post(self, hook: Hook, body: bytes, headers: dict[str, str] | None = None) -> int | None:
        """Post once; the status, or None if no answer came."""
        sent = hook.headers() if headers is None else headers
        try:
            async with asyncio.timeout(self.timeout):
                answer = await self.client.post(hook.url, content=body, headers=sent)
        except (httpx.HTTPError, TimeoutError):
            return None
        return answer.status_code

    async def _deliver(self, hook: Hook, event: str, body: bytes, tried: "asyncio.Future[None]") -> None:
        for attempt, gap in enumerate([*self.gaps, None], 1):
            try:
                delivery = Delivery(event, hook.url, body, attempt, await self.post(hook, body))
            finally:
                self._first_tries.discard(tried)
                if not tried.done():
                    tried.set_result(None)
            self.deliveries.append(delivery)
            if delivery.taken:
                return
            if gap is not None:
                await asyncio.sleep(gap)
        self.given_up.append(event)
