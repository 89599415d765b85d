"""Webhooks by the thousand: posts over connections that stay open, at a pace."""

import asyncio
import base64
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from attrs import define, field, frozen

from ordernpay.simulator.ros.notices import signature
from tests.support import rest


@frozen
class Post:
    """One delivery: whoever retries it sends the same bytes."""

    body: bytes
    headers: tuple[tuple[str, str], ...]

    def request(self, path: str) -> bytes:
        """As it goes over the wire."""
        named = [("Host", "daemon"), ("Content-Type", "application/json"), ("Content-Length", str(len(self.body)))]
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (*named, *self.headers))]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def by_ros(body: bytes) -> Post:
    """A notification of ROS, signed, with a name of its own."""
    signed = ("X-ROS-Signature", signature(body, rest.ROS_WEBHOOK_SECRET))
    return Post(body, (signed, ("X-ROS-NotificationId", str(uuid.uuid4())), ("X-ROS-AttemptNumber", "0")))


def by_doshii(body: bytes) -> Post:
    """A webhook of Doshii."""
    pair = base64.b64encode(f"{rest.DOSHII_KEY}:{rest.DOSHII_TOKEN}".encode()).decode()
    return Post(body, (("Authorization", f"Basic {pair}"),))


@define
class Flood:
    """What became of many posts: the statuses, the answers' delays, and those that got no answer."""

    statuses: Counter[int] = field(factory=Counter)
    delays: list[float] = field(factory=list)
    taken: list[int] = field(factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answered in a second."""
        return sum(self.statuses.values()) / self.seconds if self.seconds else 0.0


async def flood(url: str, posts: Sequence[Post], rate: float, *, connections: int = 24) -> Flood:
    """Send them all at this rate, or as fast as they are answered; who gets no answer is not tried again here."""
    parts, told = urlsplit(url), Flood()
    due: asyncio.Queue[tuple[int, Post]] = asyncio.Queue()
    began = time.perf_counter()

    async def send() -> None:
        async with contextlib.AsyncExitStack() as stack:
            streams = None
            while True:
                number, post = await due.get()
                at = time.perf_counter()
                try:
                    if streams is None:
                        streams = await asyncio.open_connection(parts.hostname, parts.port)
                        stack.callback(streams[1].close)
                    status = await _exchange(*streams, post.request(parts.path))
                except (OSError, EOFError, IndexError):
                    streams, status = None, 0
                told.statuses[status] += 1
                told.delays.append(time.perf_counter() - at)
                told.seconds = time.perf_counter() - began
                if status == 200:
                    told.taken.append(number)
                due.task_done()

    tasks = [asyncio.create_task(send()) for _ in range(connections)]
    for number, post in enumerate(posts):
        pause = began + number / rate - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        due.put_nowait((number, post))
    await due.join()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return told


async def post(url: str, one: Post) -> int:
    """Send one; 0 where no answer came."""
    told = await flood(url, [one], 1.0, connections=1)
    [status] = told.statuses
    return status


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    lengths = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
    await reader.readexactly(int(lengths[0]))
    return int(lines[0].split(" ")[1])
