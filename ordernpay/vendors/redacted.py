"""A session whose words are redacted, whatever its vendor: outcomes, late ones too, events, its state and the log."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
from attrs import evolve

from ordernpay.commands import Command, LookUpUser, VendorRequest
from ordernpay.config import Secret, SessionConfig
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome
from ordernpay.redaction import REDACTED, Redactor, decodings, is_secret_name
from ordernpay.rules import is_guid
from ordernpay.vendors.protocol import (
    Attempt,
    Door,
    Prepared,
    Publish,
    Published,
    Report,
    Session,
    SessionStatus,
    Undecided,
    WebsocketDoor,
)

_ASSIGNED: Final = re.compile(r"""([A-Za-z][A-Za-z0-9_-]{1,40})(["']?\s{0,3}[=:]\s{0,3}["']?)([^&\s"',;}]{1,512})""")


def secrets_of(config: SessionConfig) -> list[str]:
    """What a session's configuration holds that must not be repeated: its secrets, and a user that is a PIN."""
    values = [getattr(config, attribute.name) for attribute in attrs.fields(type(config))]
    user = getattr(config, "user", None)
    secrets = [value.reveal() for value in values if isinstance(value, Secret)]
    return secrets + ([user] if isinstance(user, str) and not is_guid(user) else [])


class RedactedPublish:
    """A session's access to the journal, with what it reports redacted."""

    def __init__(self, publish: Publish, redactor: Redactor) -> None:
        self._publish = publish
        self._redactor = redactor

    async def __call__(
        self,
        reports: Sequence[Report],
        once: str | tuple[str, ...] | None = None,
        within: float | None = None,
        of: str | None = None,
        also: str | None = None,
    ) -> Published:
        """Publish; see `Publish`."""
        return await self._publish([_report(report, self._redactor) for report in reports], once, within, of, also)

    async def undecided(self, name: str | None = None, value: str | None = None) -> Sequence[Undecided]:
        """Read which commands have no outcome; see `Publish`."""
        return await self._publish.undecided(name, value)

    async def recall(self, name: str, value: str) -> Mapping[str, str]:
        """Read what a command has remembered; see `Publish`."""
        return await self._publish.recall(name, value)


def _report(report: Report, redactor: Redactor) -> Report:
    settlement = report.settlement
    if settlement is not None:
        settlement = evolve(settlement, outcome=_outcome(settlement.outcome, redactor))
    data = redactor.value(report.data, named=True)
    return evolve(
        report,
        data=data if isinstance(data, dict) else {},
        vendor=redactor.value(report.vendor, named=True),
        settlement=settlement,
    )


def _outcome(read: Callable[[Command], Outcome], redactor: Redactor) -> Callable[[Command], Outcome]:
    def reading(command: Command) -> Outcome:
        return redactor.also(conceal(command)[1]).outcome(read(command))

    return reading


class RedactedSession:
    """A vendor's session; what it tells is told without secrets, and what it carries is kept without them.

    Args:
        session: the vendor's own.
        redactor: knows the session's secrets; what requests carry is learnt on their way.
    """

    def __init__(self, session: Session, redactor: Redactor) -> None:
        self._session = session
        self._redactor = redactor

    @property
    def name(self) -> str:
        return self._session.name

    @property
    def vendor(self) -> str:
        return self._session.vendor

    @property
    def commands(self) -> tuple[str, ...]:
        return self._session.commands

    @property
    def options(self) -> type[Any]:
        return self._session.options

    def unsupported(self, method: str) -> Failure | None:
        return self._session.unsupported(method)

    def prepare(self, command: Command) -> Prepared:
        """Check and translate; what the journal keeps has no secret, and is then not enough for another life."""
        prepared = self._session.prepare(command)
        kept, secrets = conceal(command)
        return evolve(prepared, kept=kept, whole=False) if secrets else prepared

    def may_repeat(self, method: str) -> bool:
        return self._session.may_repeat(method)

    async def perform(self, command: Command, prepared: Prepared, attempt: Attempt) -> Outcome:
        outcome = await self._session.perform(command, prepared, attempt)
        return await self._redactor.also(conceal(command)[1]).outcome_of_any_size(outcome)

    async def run(self) -> None:
        await self._session.run()

    @property
    def exclusive(self) -> bool:
        return self._session.exclusive

    def follow(self, taken: Callable[[], None]) -> None:
        self._session.follow(taken)

    async def retire(self) -> None:
        await self._session.retire()

    def status(self) -> SessionStatus:
        status = self._session.status()
        if status.last_error is None:
            return status
        return evolve(status, last_error=self._redactor.text(status.last_error))

    def reconnect(self) -> None:
        self._session.reconnect()

    def suspect(self, why: str) -> None:
        self._session.suspect(why)

    def doors(self) -> tuple[Door | WebsocketDoor, ...]:
        return self._session.doors()


# What a call carries


def conceal(command: Command) -> tuple[JsonObject, list[str]]:
    """A command's content without secrets, and the secrets. A user that is no GUID is taken for a PIN."""
    content = command.content()
    secrets: list[str] = []
    user = command.options.get("user")
    if isinstance(user, str) and not is_guid(user):
        content["options"] = {name: value for name, value in command.options.items() if name != "user"}
        secrets.append(user)
    if isinstance(command.params, LookUpUser):
        secrets.append(command.params.pin)
    if isinstance(command.params, VendorRequest):
        content["params"] = {"request": _without_secrets(command.params.request, secrets)}
    return content, secrets


def _without_secrets(value: JsonValue, secrets: list[str]) -> Any:
    if isinstance(value, list):
        return [_without_secrets(entry, secrets) for entry in value]
    if isinstance(value, str):
        return _ASSIGNED.sub(lambda found: _without_assigned(found, secrets), value)
    if not isinstance(value, dict):
        return value
    kept: JsonObject = {}
    for name, entry in value.items():
        texts = list(_scalars(entry)) if is_secret_name(name, entry) else []
        if texts:
            secrets += texts
        else:
            kept[name] = _without_secrets(entry, secrets)
    return kept


def _without_assigned(found: re.Match[str], secrets: list[str]) -> str:
    """A pair in a query, a form or a text of JSON, such as ``pin=1234``."""
    if not is_secret_name(found[1], found[3]):
        return found[0]
    secrets.append(next(reversed([found[3], *decodings(found[3])])))
    return f"{found[1]}{found[2]}{REDACTED}"


def _scalars(value: JsonValue) -> Iterator[str]:
    """All that stands in a value, as text: a PIN may come as a number, or with something around it."""
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _scalars(entry)
    elif isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != "":
        yield str(value)
