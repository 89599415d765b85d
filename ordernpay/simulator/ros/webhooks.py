"""The sending of notifications, good and bad ones.

Sources: https://docs.powerepos.cloud/Document/ROS/NotificationsWebhook,
https://docs.powerepos.cloud/Model/POSCorePublic.Models.RemoteOrdering.Webhooks.OutgoingRequestHeaders

Assumed, because no page that was seen says it: a redirect is not followed, and counts as any other answer that is not
200; the key of the signature is the UTF-8 of the secret.
"""

import asyncio
import uuid
from collections import Counter
from typing import Final

import httpx
from attrs import evolve, field, frozen

from ordernpay.simulator.ros.notices import Kind, Notice, Style, signature
from ordernpay.simulator.ros.venue import Organisation

UNANSWERED: Final = 0
SERVER_ID: Final = "ros-simulated-1"
WRONG_SECRET: Final = "not-the-secret"  # noqa: S105 - of no use to anybody


@frozen
class Pace:
    """How long a notification is tried; the pages speak of about 10 retries within about an hour.

    Attributes:
        first: Seconds before the first retry.
        factor: By what each further wait is longer.
        live_retries: How often live stock levels are tried again: a few times.
        timeout: Seconds that an answer may take.
    """

    first: float = 0.01
    factor: float = 1.5
    retries: int = 10
    live_retries: int = 2
    timeout: float = 5.0

    def wait(self, tries: int) -> float:
        """Seconds to wait when it was tried so often in vain."""
        return self.first * self.factor ** (tries - 1)


@frozen
class Sent:
    """A notification that was sent, and the statuses it met; ``UNANSWERED`` where there was none."""

    body: bytes = field(repr=False)
    signature: str | None = field(repr=False)
    notification_id: str
    statuses: tuple[int, ...] = ()

    @property
    def arrived(self) -> bool:
        """Whether the provider took it."""
        return self.statuses[-1:] == (200,)


class Webhooks:
    """Sends notifications; usable within ``serve``.

    Attributes:
        url: Where the provider wants them; None for nowhere. May be changed at any time.
        style: How they are written.
        pace: How long they are tried.
        sent: What was notified, in order of its ending; the bad ones are not among them.
    """

    def __init__(self, client: httpx.AsyncClient, url: str | None, style: Style, pace: Pace) -> None:
        self.url = url
        self.style = style
        self.pace = pace
        self.sent: list[Sent] = []
        self._client = client

    def ready(self, notice: Notice) -> Sent:
        """A notification as it would be sent, with a new ID."""
        return self._signed(notice.text(self.style), notice.organisation)

    def _signed(self, body: bytes, organisation: Organisation) -> Sent:
        sign = signature(body, organisation.webhook_secret)
        return Sent(body, sign.upper() if self.style.upper else sign, str(uuid.uuid4()))

    async def notify(self, notice: Notice) -> list[int]:
        """Send until it arrives or was tried too often, and return the statuses met."""
        ready = self.ready(notice)
        retries = self.pace.live_retries if notice.kind is Kind.LIVE_STOCK else self.pace.retries
        statuses: list[int] = []
        while 200 not in statuses and len(statuses) <= retries:
            if statuses:
                await asyncio.sleep(self.pace.wait(len(statuses)))
            statuses.append(await self.post(ready, attempt=len(statuses)))
        self.sent.append(evolve(ready, statuses=tuple(statuses)))
        return statuses

    async def post(self, ready: Sent, *, attempt: int = 0) -> int:
        """Send this once, as it is."""
        if self.url is None:
            raise RuntimeError("no webhook URL was given to the simulated ROS")
        headers = {
            "Content-Type": "application/json",
            "X-ROS-Id": SERVER_ID,
            "X-ROS-NotificationId": ready.notification_id,
            "X-ROS-AttemptNumber": str(attempt),
        }
        if ready.signature is not None:
            headers["X-ROS-Signature"] = ready.signature
        try:
            answer = await self._client.post(self.url, content=ready.body, headers=headers, timeout=self.pace.timeout)
        except httpx.TransportError:
            return UNANSWERED
        return answer.status_code

    async def forged(self, notice: Notice) -> int:
        """Send it once, signed with a secret that is not the organisation's."""
        ready = self.ready(notice)
        return await self.post(evolve(ready, signature=signature(ready.body, WRONG_SECRET)))

    async def unsigned(self, notice: Notice) -> int:
        """Send it once, without a signature."""
        return await self.post(evolve(self.ready(notice), signature=None))

    async def tampered(self, notice: Notice) -> int:
        """Send it once, with a space behind it that was not there when it was signed."""
        ready = self.ready(notice)
        return await self.post(evolve(ready, body=ready.body + b" "))

    async def replayed(self, sent: Sent | None = None, *, attempt: int = 0) -> int:
        """Send what was sent before, or last, once more: the same bytes, ID and signature."""
        return await self.post(sent or self.sent[-1], attempt=attempt)

    async def oversize(self, notice: Notice, size: int) -> int:
        """Send it once, rightly signed, with spaces up to ``size`` bytes."""
        return await self.post(self._signed(notice.text(self.style).ljust(size), notice.organisation))

    async def junk(self, organisation: Organisation, body: bytes = b'{"Type": ') -> int:
        """Send this once, rightly signed, whatever it is."""
        return await self.post(self._signed(body, organisation))

    async def flood(self, notice: Notice, rate: float, seconds: float, *, forged: bool = False) -> Counter[int]:
        """Send it ``rate`` times a second, each with an ID of its own and once, and count the statuses met."""
        start = asyncio.get_running_loop().time()
        send = self.forged if forged else self._once
        async with asyncio.TaskGroup() as group:
            posts = []
            for number in range(round(rate * seconds)):
                await asyncio.sleep(start + number / rate - asyncio.get_running_loop().time())
                posts.append(group.create_task(send(notice)))
        return Counter(post.result() for post in posts)

    async def _once(self, notice: Notice) -> int:
        return await self.post(self.ready(notice))
