"""The methods of the local socket: params checked, access checked, then the gateway, the sessions, the journal."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import anyio
from attrs import define, field, frozen

from ordernpay import __version__
from ordernpay.attempts import Answer
from ordernpay.clock import Clock
from ordernpay.commands import COMMANDS
from ordernpay.conversion import Faults, structure, unstructure
from ordernpay.events import Events, FellBehind, Selection
from ordernpay.gateway import Gateway
from ordernpay.journal import Event, Journal, JournalUnavailable, Row
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.orders import OrderOut
from ordernpay.outcomes import Failure, Outcome, Refused
from ordernpay.refusals import unknown_session
from ordernpay.rpc.access import Caller, Gatekeeper
from ordernpay.rpc.condition import Condition, session_json
from ordernpay.rpc.jsonrpc import RpcError, method_not_found
from ordernpay.rpc.openrpc import RESULTS, Described, document
from ordernpay.rpc.params import (
    CommandQuery,
    EventQuery,
    Nothing,
    OfCommand,
    OfSession,
    ResolveCommand,
    RetryCommand,
    Subscribe,
    Unsubscribe,
)
from ordernpay.rpc.server import Client, Reply, Stats
from ordernpay.vendors.protocol import Session
from ordernpay.workload import beside

MOST_SUBSCRIPTIONS: Final = 16
PAGE_SIZE: Final = 2**20
"""Characters after which a list ends with what it has."""


@frozen
class _Method:
    params: type[Any]
    summary: str
    handle: Callable[["Methods", Client, Caller, Any], Awaitable[Reply]]


@define
class _Subscriptions:
    last: int = 0
    scopes: dict[int, anyio.CancelScope] = field(factory=dict)


class Methods:
    """What the socket's server hands its calls to."""

    def __init__(
        self, gateway: Gateway, journal: Journal, events: Events, gatekeeper: Gatekeeper, clock: Clock, backlog: int
    ) -> None:
        self._gateway = gateway
        self._journal = journal
        self._events = events
        self.gatekeeper = gatekeeper
        self._backlog = backlog
        self.condition = Condition(gateway, journal, clock)
        self._callers: dict[int, Caller] = {}
        self._subscriptions: dict[int, _Subscriptions] = {}
        self.client_stats: Callable[[], Stats] = Stats

    def admit_by(self, gatekeeper: Gatekeeper) -> None:
        """Other rules from here on, for those already connected as well."""
        self.gatekeeper = gatekeeper
        self._callers.clear()

    def forget(self, client: Client) -> None:
        """A client is gone."""
        self._callers.pop(client.id, None)
        self._subscriptions.pop(client.id, None)

    async def call(self, client: Client, method: str, params: JsonObject | list[JsonValue] | None) -> Reply:
        """Answer one call.

        Raises:
            RpcError: the error object that the caller gets.
        """
        known = METHODS.get(method)
        if known is None and method not in COMMANDS:
            raise method_not_found(method, [*METHODS, *COMMANDS])
        if isinstance(params, list):
            raise _rpc_error(_invalid("", "expected params by name: an object"))
        try:
            caller = self._callers.get(client.id)
            if caller is None:
                caller = self._callers[client.id] = self.gatekeeper.caller(client.peer)
            if known is None:
                return await self._command(caller, method, params or {})
            self.gatekeeper.check(caller, method)  # first: who may not call it is not told how to
            return await known.handle(self, client, caller, self._read(known, params or {}))
        except Refused as error:
            raise _rpc_error(error) from None
        except JournalUnavailable as error:
            raise _rpc_error(Refused(Failure("overloaded", str(error)))) from None

    @staticmethod
    def _read(method: _Method, params: JsonObject) -> Any:
        try:
            return structure(params, method.params)
        except Faults as error:
            details: list[JsonValue] = [fault.as_json() for fault in error.faults]
            raise Refused(Failure("invalid_params", f"invalid params: {error}", details=details)) from None

    # Vendor commands

    async def _command(self, caller: Caller, method: str, params: JsonObject) -> Reply:
        session = params.get("session")
        if session is None and len(self._gateway.sessions) == 1:
            session = next(iter(self._gateway.sessions))
        self.gatekeeper.check(caller, method, session if isinstance(session, str) else None)
        return _reply(await self._gateway.call(method, params, caller.uid))

    # Sessions

    async def _session_list(self, _client: Client, caller: Caller, _params: Nothing) -> Reply:
        self.gatekeeper.check(caller, "session.list")
        return Reply({"sessions": self.condition.sessions(self.gatekeeper.sessions(caller, "session.list"))})

    async def _session_get(self, _client: Client, caller: Caller, params: OfSession) -> Reply:
        self.gatekeeper.check(caller, "session.get", params.session)
        return Reply({"session": session_json(self._session(params.session))})

    async def _session_reconnect(self, _client: Client, caller: Caller, params: OfSession) -> Reply:
        self.gatekeeper.check(caller, "session.reconnect", params.session)
        session = self._session(params.session)
        session.reconnect()
        return Reply({"session": session_json(session)})

    def _session(self, name: str) -> Session:
        session = self._gateway.sessions.get(name)
        if session is None:
            raise unknown_session(name, self._gateway.sessions)
        return session

    # Commands of the journal

    async def _row(self, caller: Caller, method: str, command_id: str) -> Row:
        self.gatekeeper.check(caller, method)
        row = await self._journal.get(command_id)
        if row is None:
            raise _invalid("command_id", "no such command in the journal")
        self.gatekeeper.check(caller, method, row.session)
        return row

    async def _command_get(self, _client: Client, caller: Caller, params: OfCommand) -> Reply:
        session, key = params.session, params.idempotency_key
        if (params.command_id is None) == (key is None):
            raise _invalid("command_id", "expected either command_id, or session and idempotency_key")
        if params.command_id is not None:
            row = await self._row(caller, "command.get", params.command_id)
            if session is not None and row.session != session:
                raise _invalid("session", f"this command is of session {row.session}")
            return Reply(row.as_json())
        if session is None and len(self._gateway.sessions) == 1:
            session = next(iter(self._gateway.sessions))
        if session is None:
            raise _invalid("session", "required beside idempotency_key, since there is not exactly one session")
        self.gatekeeper.check(caller, "command.get", session)
        found = await self._journal.find(session, str(key))
        if found is None:
            raise _invalid("idempotency_key", "no command of this session in the journal has this key")
        return Reply(found.as_json())

    async def _command_list(self, _client: Client, caller: Caller, params: CommandQuery) -> Reply:
        self.gatekeeper.check(caller, "command.list", params.session)
        visible = self.gatekeeper.sessions(caller, "command.list")
        if params.session is not None:
            await self._check_known(params.session)
        sessions = [params.session] if params.session is not None else None if visible is None else sorted(visible)
        if params.after is not None and await self._journal.get(params.after) is None:
            raise _invalid("after", "no such command in the journal; begin the list anew")
        rows = await self._journal.list_commands(sessions, params.state, params.after, params.limit, PAGE_SIZE)
        texts = await beside(_texts_of, rows)
        ended = len(rows) < params.limit and sum(map(len, texts)) < PAGE_SIZE  # else by a bound: there may be more
        following = None if ended else rows[-1].command_id
        return Reply(text=f'{{"commands":[{",".join(texts)}],"next":{dumps(following)}}}')

    async def _check_known(self, *names: str) -> None:
        """Refuse a session that neither the configuration nor the journal knows: its emptiness would be no answer."""
        for name in set(names) - set(self._gateway.sessions):
            commands = await self._journal.list_commands([name], None, None, 1)
            if not commands and not await self._journal.events_after(0, 1, [name]):
                raise unknown_session(name, self._gateway.sessions)

    async def _command_retry(self, _client: Client, caller: Caller, params: RetryCommand) -> Reply:
        row = await self._row(caller, "command.retry", params.command_id)
        if not caller.admin and row.peer_uid != caller.uid:
            text = f"{caller.name} (uid {caller.uid}) did not give this command; its own user or an admin may retry it"
            raise Refused(Failure("forbidden", text))
        return _reply(await self._gateway.retry(row, params.timeout))

    async def _command_resolve(self, _client: Client, caller: Caller, params: ResolveCommand) -> Reply:
        row = await self._row(caller, "command.resolve", params.command_id)
        if params.state == "succeeded":
            verdict = Outcome("succeeded", result=_as_far_as_known(row))
        else:
            verdict = Outcome("failed", failure=Failure("vendor_unavailable", f"resolved by hand: {params.note}"))
        return Reply((await self._gateway.resolve(row, verdict, f"{caller.name}: {params.note}")).as_json())

    # Events

    async def _event_subscribe(self, client: Client, caller: Caller, params: Subscribe) -> Reply:
        selection = self._selection(caller, "event.subscribe", params.sessions, params.kinds)
        await self._check_known(*params.sessions or ())
        first, last = await self._journal.event_bounds()
        mine = self._subscriptions.setdefault(client.id, _Subscriptions())
        if len(mine.scopes) >= MOST_SUBSCRIPTIONS:
            details: JsonObject = {"limit": "subscriptions", "value": MOST_SUBSCRIPTIONS}
            raise Refused(Failure("overloaded", "this connection has too many subscriptions", details=details))
        position, gap = last, False
        if params.since is not None:
            position, gap = params.since, params.since < first - 1 or params.since > last
            if params.since > last:  # from a journal that is no more: everything kept is news
                position = first - 1
        mine.last += 1
        number, scope = mine.last, anyio.CancelScope()
        mine.scopes[number] = scope

        async def pump() -> None:
            rules = self.gatekeeper
            head = '{"jsonrpc":"2.0","method":"event","params":'
            with scope:
                try:
                    async for event in self._events.follow(position, selection, self._backlog):
                        if rules is not self.gatekeeper and not self._is_still(selection, client, params):
                            client.cut_off(
                                "access_changed", {"subscription": number, "last_seq": self._events.last_seq}
                            )
                            break
                        rules = self.gatekeeper
                        text = await self._events.text_of(event)
                        await client.send(f'{head}{{"subscription":{number},"event":{text}}}}}')
                        await self._events.next_turn()
                except FellBehind:
                    client.cut_off("slow", {"subscription": number, "last_seq": self._events.last_seq})
            mine.scopes.pop(number, None)

        result: JsonObject = {
            "subscription": number,
            "last_seq": last,
            "first_seq": first,
            "gap": gap,
            "journal": self._journal.identity,
        }
        return Reply(result, pump)

    async def _event_unsubscribe(self, client: Client, caller: Caller, params: Unsubscribe) -> Reply:
        self.gatekeeper.check(caller, "event.unsubscribe")
        mine = self._subscriptions.get(client.id, _Subscriptions())
        scope = mine.scopes.pop(params.subscription, None)
        if scope is None:
            raise _invalid("subscription", "no such subscription on this connection")
        scope.cancel()
        return Reply({})

    async def _event_list(self, _client: Client, caller: Caller, params: EventQuery) -> Reply:
        wanted = self._selection(caller, "event.list", params.sessions, params.kinds)
        await self._check_known(*params.sessions or ())
        sessions = None if wanted.sessions is None else sorted(wanted.sessions)
        kinds = None if wanted.kinds is None else sorted(wanted.kinds)
        first, last = await self._journal.event_bounds()
        events = await self._journal.events_after(params.since, params.limit, sessions, kinds, PAGE_SIZE)
        texts = await beside(_texts_of, events)
        more = bool(events) and len(events) < params.limit and sum(event.size for event in events) >= PAGE_SIZE
        rest: JsonObject = {"last_seq": last, "first_seq": first, "journal": self._journal.identity, "more": more}
        return Reply(text=f'{{"events":[{",".join(texts)}],{dumps(rest)[1:]}')

    def _selection(
        self, caller: Caller, method: str, sessions: tuple[str, ...] | None, kinds: tuple[str, ...] | None
    ) -> Selection:
        self.gatekeeper.check(caller, method)
        for session in sessions or ():
            self.gatekeeper.check(caller, method, session)
        for name, given in (("sessions", sessions), ("kinds", kinds)):
            if given == ():
                raise _invalid(name, "expected at least one; leave it out for all")
        visible = self.gatekeeper.sessions(caller, method)
        return Selection(
            sessions=frozenset(sessions) if sessions is not None else visible,
            kinds=None if kinds is None else frozenset(kinds),
        )

    def _is_still(self, selection: Selection, client: Client, params: Subscribe) -> bool:
        """Whether a subscription would be the same under the rules of now."""
        caller = self.gatekeeper.caller(client.peer)
        try:
            return self._selection(caller, "event.subscribe", params.sessions, params.kinds) == selection
        except Refused:
            return False

    # The daemon

    async def _daemon_status(self, _client: Client, caller: Caller, _params: Nothing) -> Reply:
        self.gatekeeper.check(caller, "daemon.status")
        visible = self.gatekeeper.sessions(caller, "session.list")
        return Reply(await self.condition.told(visible, self.client_stats()))

    async def _discover(self, _client: Client, _caller: Caller, _params: Nothing) -> Reply:
        return Reply(text=_openrpc_text())


METHODS: Final[Mapping[str, _Method]] = {
    "session.list": _Method(Nothing, "Every session and how it stands.", Methods._session_list),
    "session.get": _Method(OfSession, "One session and how it stands.", Methods._session_get),
    "session.reconnect": _Method(
        OfSession, "Drop a session's connection and make a new one.", Methods._session_reconnect
    ),
    "command.get": _Method(OfCommand, "A command as the journal has it.", Methods._command_get),
    "command.list": _Method(CommandQuery, "Commands of the journal, newest first.", Methods._command_list),
    "command.retry": _Method(RetryCommand, "Send an unknown command again.", Methods._command_retry),
    "command.resolve": _Method(ResolveCommand, "A person's verdict on an unknown command.", Methods._command_resolve),
    "event.subscribe": _Method(Subscribe, "Events, as notifications `event`.", Methods._event_subscribe),
    "event.unsubscribe": _Method(Unsubscribe, "End a subscription.", Methods._event_unsubscribe),
    "event.list": _Method(EventQuery, "Kept events.", Methods._event_list),
    "daemon.status": _Method(Nothing, "The daemon, its sessions, its journal.", Methods._daemon_status),
    "rpc.discover": _Method(Nothing, "This document.", Methods._discover),
}


def openrpc() -> JsonObject:
    """The OpenRPC document, from the classes that check the calls."""
    own = [Described(name, method.summary, method.params) for name, method in METHODS.items()]
    return document(own, __version__)


@cache
def _openrpc_text() -> str:
    return dumps(openrpc())


def _texts_of(entries: Sequence[Row | Event]) -> list[str]:
    return [dumps(entry.as_json()) for entry in entries]


def _as_far_as_known(row: Row) -> JsonObject:
    """The result of a command that a person has seen done: its members as ever, of the order what the kiosk itself said."""
    params: Any = row.content["params"]
    given = params.get("order") or params
    order = unstructure(OrderOut(id=params.get("order_id"), reference=given.get("reference")))
    return {name: order if name == "order" else None for name in RESULTS[row.method]}


def _reply(answer: Answer) -> Reply:
    outcome = answer.outcome
    if outcome is None:
        return Reply({"command_id": answer.command_id, "state": answer.state})
    if outcome.failure is not None:
        failure = outcome.failure
        raise RpcError(failure.code, failure.message, failure.data(answer.command_id, outcome.state))
    return Reply(
        {
            "command_id": answer.command_id,
            "session": answer.session,
            "state": outcome.state,
            "result": outcome.result,
            "vendor": outcome.vendor,
        }
    )


def _rpc_error(error: Refused) -> RpcError:
    return RpcError(error.failure.code, error.failure.message, error.failure.data(error.command_id, error.state))


def _invalid(path: str, message: str) -> Refused:
    return Refused(Failure("invalid_params", message, details=[{"path": path, "message": message}]))
