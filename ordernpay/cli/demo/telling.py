"""How a story of the demo is told: each step as it happens, and at the end what the vendor saw."""

import uuid
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from attrs import frozen
from rich.console import Console
from rich.text import Text

from ordernpay.cli.terminal import cell, member, objects, print_table, printable
from ordernpay.client import Client
from ordernpay.commands import COMMANDS
from ordernpay.jsontext import JsonObject

_STEP_WIDTH: Final = 15


class StoryFailed(Exception):
    """Something was not as it should be; the text says what."""


@frozen
class Tally:
    """How often the vendor did one thing, and how often it should have."""

    act: str
    wanted: int
    done: int

    @property
    def right(self) -> bool:
        """Whether it was exactly as often."""
        return self.wanted == self.done


class Story(Protocol):
    """What one session shows."""

    @property
    def session(self) -> str:
        """The session's name in the configuration."""

    @property
    def vendor(self) -> str:
        """Its vendor."""

    @property
    def about(self) -> str:
        """Who opens the connection, in a few words."""

    @property
    def toml(self) -> str:
        """The session's table in the configuration."""

    async def tell(self, telling: "Telling") -> None:
        """Play it.

        Raises:
            StoryFailed: Something was not as it should be.
        """

    def tallies(self) -> list[Tally]:
        """What the simulated vendor did."""


@frozen
class Telling:
    """One session's calls through the local socket, and what is printed of them."""

    client: Client
    out: Console
    session: str

    async def call(self, method: str, **params: object) -> JsonObject:
        """Call a method of this session; the whole answer. A change that gives no key gets a new one."""
        key = {"idempotency_key": str(uuid.uuid4())} if method in COMMANDS and COMMANDS[method].changes else {}
        given: JsonObject = {"session": self.session, **key, **params}  # type: ignore[dict-item]
        return await self.client.call(method, given)

    def say(self, step: str, text: str, style: str = "") -> None:
        """Print one line."""
        self.out.print(Text.assemble((f"  {step:<{_STEP_WIDTH}}", "bold"), (printable(text), style)))

    async def up(self) -> None:
        """Wait for the session, which connects while the daemon answers already."""
        async with self.client.events(since=0, sessions=[self.session], kinds=["session.up"]) as events:
            event = await anext(events)
        self.say("session.up", f"connected, told by event {event['seq']}")

    async def settled(self, key: str) -> None:
        """Wait for the event that tells how the command with this key ended."""
        await self._event(
            "command.settled", lambda data: data.get("idempotency_key") == key and data.get("state") == "succeeded"
        )

    async def told(self, kind: str, *, status: str) -> None:
        """Wait for an event of this kind and status."""
        await self._event(kind, lambda data: data.get("status") == status)

    async def _event(self, kind: str, wanted: Callable[[JsonObject], bool]) -> None:
        async with self.client.events(since=0, sessions=[self.session], kinds=[kind]) as events:
            async for event in events:
                if wanted(member(event, "data")):
                    return

    async def events(self) -> list[JsonObject]:
        """All events of this session so far."""
        answer = await self.client.call("event.list", {"since": 0, "limit": 1_000, "sessions": [self.session]})
        return objects(answer, "events")


def expect(true: bool, what: str) -> None:  # noqa: FBT001 - it is what the call is about
    """Fail the story unless so."""
    if not true:
        raise StoryFailed(f"expected {what}")


def print_summary(stories: Iterable[Story]) -> None:
    """Print what every vendor did, against what it should have done."""
    print_table(
        ["session", "vendor", "the vendor's own count", "wanted", "done", ""],
        [
            [
                cell(story.session, "bold"),
                cell(story.vendor),
                cell(tally.act),
                cell(tally.wanted),
                cell(tally.done),
                cell("ok", "green") if tally.right else cell("WRONG", "bold red"),
            ]
            for story in stories
            for tally in story.tallies()
        ],
    )
