"""What somebody who is not Doshii, or Doshii on a bad day, may post to a webhook."""

import asyncio
import base64
import json
from collections import Counter
from typing import Final

from attrs import frozen

from ordernpay.simulator.doshii.webhooks import JSON, Delivery, Hook, Webhooks
from ordernpay.simulator.pages import Record

FORGED: Final[Record] = {"event": "order_updated", "data": {"id": "90217", "status": "accepted"}}


def basic(key: str, token: str) -> dict[str, str]:
    """Headers with these credentials."""
    return {**JSON, "authorization": "Basic " + base64.b64encode(f"{key}:{token}".encode()).decode()}


@frozen(eq=False)
class Forger:
    """Posts to one webhook; each method gives the status that came, or None."""

    webhooks: Webhooks
    hook: Hook

    async def unsigned(self, message: Record = FORGED) -> int | None:
        """A well-formed event without Authorization."""
        return await self.webhooks.post(self.hook, json.dumps(message).encode(), JSON)

    async def forged(self, message: Record = FORGED, *, key: str = "key", token: str = "guess") -> int | None:  # noqa: S107 - a guess that is wrong
        """A well-formed event with another key and token."""
        return await self.webhooks.post(self.hook, json.dumps(message).encode(), basic(key, token))

    async def with_authorization(self, authorization: str, message: Record = FORGED) -> int | None:
        """A well-formed event with this Authorization header."""
        headers = {**JSON, "authorization": authorization}
        return await self.webhooks.post(self.hook, json.dumps(message).encode(), headers)

    async def replayed(self, delivery: Delivery | None = None) -> int | None:
        """A delivery once more, byte for byte: this one, or the last."""
        return await self.webhooks.post(self.hook, (delivery or self.webhooks.deliveries[-1]).body)

    async def oversize(self, n_bytes: int) -> int | None:
        """An event of so many bytes, with good credentials."""
        frame = json.dumps({"event": "order_updated", "data": {"id": "90217", "status": "accepted", "pad": "%"}})
        pad = max(0, n_bytes - len(frame) + 1)
        return await self.webhooks.post(self.hook, frame.replace("%", "x" * pad).encode())

    async def junk(self, body: bytes = b"\xff\x00{not json") -> int | None:
        """Something that is no event, with good credentials."""
        return await self.webhooks.post(self.hook, body)

    async def flood(self, rate: float, seconds: float, message: Record = FORGED) -> Counter[int | None]:
        """So many events in a second, for so long, with good credentials, each with an ``id`` of its own; what came."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as posts:
            tasks = []
            for number in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
                body = {**message, "data": {**message["data"], "id": f"flood-{number}"}}
                tasks.append(posts.create_task(self.webhooks.post(self.hook, json.dumps(body).encode())))
        return Counter(task.result() for task in tasks)
