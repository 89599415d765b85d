"""Exchange and journal together, with a crash possible between any two steps and a POS that knows duplicates.

The machine takes the steps of one command one by one, as gateway and session take them: accept, mark as sent, submit,
write, hear, settle. Each step on the journal is a transaction of the real store on a real file; a crash forgets
everything but that file, and what the network still carries.
"""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ordernpay.commands import Command, new_id, read_params
from ordernpay.journal import InvalidTransition, NewCommand, Row, lookups, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.states import TRANSITIONS
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import Failure, Outcome, ended, expired, session_unavailable, succeeded, unknown
from ordernpay.vendors.order_n_pay import exchange as x
from ordernpay.vendors.order_n_pay.preparation import derived_request_id
from ordernpay.vendors.order_n_pay.wire import Response
from ordernpay.vendors.protocol import Settlement
from tests.support.fakes import settle_by_news

T = TypeVar("T")

WALL = 1_800_000_000.0
SELDOM = st.sampled_from([False] * 4 + [True])
KIND = st.fixed_dictionaries(
    {
        "big": SELDOM,
        "refused": SELDOM,
        "may_wait": st.booleans(),
        "whole": SELDOM.map(lambda seldom: not seldom),
        "timeout": st.sampled_from([5.0, 30.0]),
    }
)
FAR = st.sampled_from([5, 4, 5, 4, 3, 2, 1, 0])
HOW = st.sampled_from(["once", "never", "late", "twice", "foreign"])


@define
class Wish:
    """What a kiosk wants under a key; the same each time it asks."""

    key: str
    big: bool = False
    refused: bool = False
    may_wait: bool = True
    whole: bool = True
    timeout: float = 30.0

    @property
    def request_id(self) -> str:
        return derived_request_id("bar", self.key)

    @property
    def frame(self) -> str:
        return json.dumps({"RequestID": self.request_id, "big": self.big, "refused": self.refused})

    def new_command(self, now: float) -> NewCommand:
        order: JsonObject = {"reference": self.key, "lines": [{}], "notes": [f"{self.big} {self.refused}"]}
        _, params = read_params("order.create", {"idempotency_key": self.key, "order": order})
        command = Command(new_id(), "bar", "order.create", params, {}, self.key, self.timeout)
        ids = {"request_id": self.request_id}
        return NewCommand(command, command.content(), self.whole, WALL + now + self.timeout, WALL + now, None, ids)


class Pos:
    """A POS: acts on a RequestID once, answers a repeat as it answered first, hangs up on what is too big for it."""

    def __init__(self) -> None:
        self.acts: Counter[str] = Counter()
        self.answers: dict[str, str] = {}

    def hear(self, frame: str) -> str | None:
        """Its answer; None where it hangs up with 1009."""
        request: dict[str, Any] = json.loads(frame)
        if request["big"]:
            return None
        request_id = request["RequestID"]
        if request_id not in self.answers:
            code = 99 if request["refused"] else 0
            self.acts[request_id] += code == 0
            self.answers[request_id] = json.dumps({"RequestID": request_id, "ResultCode": code, "MessageType": 2})
        return self.answers[request_id]


@define
class Live:
    """A command in the daemon's memory, and how far it is."""

    wish: Wish
    deadline: float
    sent_before: bool
    stage: str = "accepted"
    outcome: Outcome | None = None


def told(response: Response) -> Outcome:
    if response.result_code == 0:
        return succeeded({"order": None})
    return ended(Failure("rejected", "no", vendor_code=response.result_code))


class Daemon(RuleBasedStateMachine):
    """The steps; see the top of this file."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="onp-machine-"))
        self.wishes: dict[str, Wish] = {}
        self.accepted: set[str] = set()
        self.pos = Pos()
        self.now = 0.0
        self.to_pos: list[str] = []
        self.to_daemon: list[str] = []
        self.stray: list[str] = []
        self.late: list[str] = []
        self.moves: list[tuple[str, str]] = []
        self.start()

    # The daemon's life

    def start(self) -> None:
        self.db = open_journal(self.directory).connection
        self.db.execute("PRAGMA synchronous = OFF")  # what crashes here is the process, not the machine
        self.db.create_function("moved", 2, lambda was, to: self.moves.append((was, to)))
        self.db.execute(
            "CREATE TEMP TRIGGER watch AFTER UPDATE OF state ON main.commands BEGIN SELECT moved(old.state, new.state); END"
        )
        self.exchange = x.Exchange()
        self.live: dict[str, Live] = {}
        self.connected = False

    def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """One operation, all or nothing, as the writer runs it."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            result = operation(self.db)
        except Exception:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
        return result

    def in_stage(self, *stages: str) -> list[str]:
        return [command_id for command_id, live in self.live.items() if live.stage in stages]

    def by_request(self, request_id: str) -> Live:
        return next(live for live in self.live.values() if live.wish.request_id == request_id)

    def end(self, live: Live, outcome: Outcome) -> None:
        live.stage, live.outcome = "ended", outcome

    def give_up(self, live: Live, *, sent: bool) -> None:
        self.end(live, unknown("no answer") if sent else expired("never sent"))

    # Kiosks

    @initialize(keys=st.integers(2, 4))
    def kiosks(self, keys: int) -> None:
        self.keys = [f"k{number}" for number in range(keys)]
        self.connect()

    @rule(data=st.data(), kind=KIND, far=FAR, how=HOW)
    def call(self, data: st.DataObject, kind: dict[str, Any], far: int, how: str) -> None:
        """A kiosk calls, for the first time or again with its key; its command goes on at once, as far as drawn."""
        key = data.draw(st.sampled_from(self.keys))
        self.ask(self.wishes.setdefault(key, Wish(key, **kind)))
        self.go(far, how)

    @rule(kinds=st.lists(KIND, min_size=4, max_size=4), far=FAR, how=HOW)
    def rush(self, kinds: list[dict[str, Any]], far: int, how: str) -> None:
        """All kiosks call at once."""
        for key, kind in zip(self.keys, kinds, strict=False):
            self.ask(self.wishes.setdefault(key, Wish(key, **kind)))
        self.go(far, how)

    def go(self, far: int, how: str) -> None:
        ways: list[Callable[[], object]] = [
            lambda: None if self.connected else self.connect(),
            self.go_on_with_all,
            self.go_on_with_all,
            lambda: self.write_frames(4),
            lambda: self.pos_hears(how) if self.to_pos else None,
        ]
        for way in ways[:far]:
            way()

    def ask(self, wish: Wish) -> None:
        row, written = self.write(lambda db: store.accept(db, wish.new_command(self.now)))
        assert written == (wish.key not in self.accepted)
        self.accepted.add(wish.key)
        if row.state == "failed":
            row = self.reopen(row, wish, "accepted")
        elif row.state == "unknown":
            row = self.reopen(row, wish, "sent")
        if row.state in {"accepted", "sent"} and row.command_id not in self.live:
            self.live[row.command_id] = Live(wish, self.now + wish.timeout, row.state == "sent")

    def reopen(self, row: Row, wish: Wish, to: Any) -> Row:
        deadline = WALL + self.now + wish.timeout
        return self.write(lambda db: store.reopen(db, row.command_id, to, wish.timeout, deadline))

    # The steps of a command

    @precondition(lambda self: self.in_stage("accepted", "marked", "ended"))
    @rule(data=st.data(), steps=st.integers(1, 2))
    def go_on_with_one(self, data: st.DataObject, steps: int) -> None:
        command_id = data.draw(st.sampled_from(self.in_stage("accepted", "marked", "ended")))
        for _ in range(steps):
            self.step(command_id)

    @precondition(lambda self: self.in_stage("accepted", "marked", "ended"))
    @rule()
    def go_on_with_all(self) -> None:
        for command_id in list(self.live):
            self.step(command_id)

    def step(self, command_id: str) -> None:
        live = self.live.get(command_id)
        if live is not None:
            {"accepted": self.mark_sent, "marked": self.submit, "submitted": lambda *_: None, "ended": self.settle}[
                live.stage
            ](command_id, live)

    def mark_sent(self, command_id: str, live: Live) -> None:
        if not self.connected:
            if self.now >= live.deadline:
                self.give_up(live, sent=live.sent_before)
            elif not live.wish.may_wait:
                self.offline(live)
            return
        if not live.sent_before:
            self.write(lambda db: store.mark_sent(db, command_id, WALL + self.now))
        live.stage = "marked"

    def submit(self, _: str, live: Live) -> None:
        wish = live.wish
        if not self.connected and not wish.may_wait:
            self.offline(live)
            return
        self.exchange.submit(wish.request_id, wish.frame, live.deadline, may_wait=wish.may_wait, sent=live.sent_before)
        live.stage = "submitted"

    def offline(self, live: Live) -> None:
        self.end(live, unknown("offline") if live.sent_before else session_unavailable("offline"))

    def settle(self, command_id: str, live: Live) -> None:
        outcome = self.live.pop(command_id).outcome
        assert outcome is not None
        with contextlib.suppress(InvalidTransition):  # news settled it meanwhile
            self.write(lambda db: store.settle(db, command_id, outcome, WALL + self.now))

    # The network

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.connected = True
        self.exchange.connected(self.now)

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self) -> None:
        self.lose_link(None)

    def lose_link(self, code: int | None) -> None:
        self.connected = False
        self.stray += self.to_pos  # the POS may still hear what was on its way
        self.to_pos, self.to_daemon = [], []
        self.take(self.exchange.disconnected(code, self.now))

    @precondition(lambda self: self.in_stage("submitted"))
    @rule(most=st.integers(1, 4))
    def write_frames(self, most: int) -> None:
        for _ in range(most):
            frame = self.exchange.next_frame(self.now)
            if frame is not None:
                assert self.connected
                self.to_pos.append(frame)

    # The POS

    @precondition(lambda self: self.to_pos)
    @rule(how=HOW)
    def pos_hears(self, how: str) -> None:
        answer = self.pos.hear(self.to_pos.pop(0))
        if answer is None:
            self.to_pos = []  # it reads no further
            self.lose_link(x.MESSAGE_TOO_BIG)
            return
        self.late += [answer] if how == "late" else []
        self.to_daemon += [answer] * {"once": 1, "twice": 2, "foreign": 1}.get(how, 0)
        if how == "foreign":
            self.to_daemon.insert(-1, json.dumps({"RequestID": "of-somebody-else", "ResultCode": 0}))

    @precondition(lambda self: self.to_pos)
    @rule(seconds=st.sampled_from([1.0, 6.0]))
    def pos_is_slow(self, seconds: float) -> None:
        self.pos_hears("late")
        self.time_passes(seconds)

    @precondition(lambda self: self.stray)
    @rule(lost=st.booleans())
    def pos_hears_what_was_on_its_way(self, lost: bool) -> None:  # noqa: FBT001
        frame = self.stray.pop(0)
        if not lost:
            self.pos.hear(frame)

    @precondition(lambda self: self.late and self.connected)
    @rule()
    def pos_answers_late(self) -> None:
        self.to_daemon.append(self.late.pop(0))

    @precondition(lambda self: self.connected)
    @rule(message=st.sampled_from(["{", "", "[]", '{"RequestID":"a"}', '{"ResultCode":0}']))
    def pos_talks_nonsense(self, message: str) -> None:
        self.to_daemon.append(message)

    @precondition(lambda self: self.to_daemon)
    @rule()
    def daemon_hears(self) -> None:
        self.take([self.exchange.receive(self.to_daemon.pop(0), self.now)])

    def take(self, events: list[x.Event]) -> None:
        """As the session takes what its exchange says."""
        for event in events:
            match event:
                case x.Answered(request_id=request_id, response=response):
                    self.end(self.by_request(request_id), told(response))
                case x.Expired(request_id=request_id, sent=sent):
                    self.give_up(self.by_request(request_id), sent=sent)
                case x.Unsent(request_id=request_id):
                    self.end(self.by_request(request_id), session_unavailable("lost before it was sent"))
                case x.TooBig(request_id=request_id, copied=copied):
                    too_big = ended(Failure("too_large", "too big"))
                    self.end(self.by_request(request_id), unknown("an earlier copy") if copied else too_big)
                case x.Unmatched(request_id=request_id, response=response):
                    self.news(request_id, response)

    def news(self, request_id: str, response: Response) -> None:
        news = Settlement("request_id", request_id, lambda _: told(response))
        self.write(lambda db: settle_by_news(db, "bar", news, WALL + self.now))

    # Time and death

    @rule(seconds=st.sampled_from([1.0, 6.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.exchange.expire(self.now))

    @rule(in_the_middle=st.booleans())
    def crash_and_recover(self, in_the_middle: bool) -> None:  # noqa: FBT001
        if in_the_middle:  # of a transaction, which then never was
            self.db.execute("BEGIN IMMEDIATE")
            store.accept(self.db, Wish("never told").new_command(self.now))
            for row in lookups.open_commands(self.db):
                with contextlib.suppress(InvalidTransition):
                    store.settle(self.db, row.command_id, expired("never told"), WALL)
            self.moves.clear()
        self.db.close()
        self.stray += self.to_pos
        self.to_pos, self.to_daemon = [], []
        self.start()
        for row in lookups.open_commands(self.db):
            self.resume(row)

    def resume(self, row: Row) -> None:
        """As the gateway resumes what an earlier life left open."""
        sent = row.state == "sent"
        if not row.whole:
            left = unknown("a secret was not kept") if sent else expired("a secret was not kept")
            self.write(lambda db: store.settle(db, row.command_id, left, WALL + self.now))
            return
        deadline = self.now + max(0.0, min(row.deadline_at - WALL - self.now, row.timeout))
        self.live[row.command_id] = Live(self.wishes[row.idempotency_key], deadline, sent)

    # What must hold after every step

    def rows(self) -> dict[str, Row]:
        return {row.idempotency_key: row for row in lookups.list_commands(self.db, None, None, None, 99)}

    @invariant()
    def the_pos_acts_at_most_once_on_a_key(self) -> None:
        assert all(count <= 1 for count in self.pos.acts.values()), self.pos.acts

    @invariant()
    def what_failed_has_never_acted_and_what_succeeded_has_acted_once(self) -> None:
        acts_by_state = {"succeeded": 1, "failed": 0, "rejected": 0}
        for key, row in self.rows().items():
            acts = self.pos.acts[derived_request_id("bar", key)]
            assert acts == acts_by_state.get(row.state, acts), (key, row.state, acts)

    @invariant()
    def what_was_never_marked_as_sent_has_never_acted(self) -> None:
        for key, row in self.rows().items():
            if row.state == "accepted":
                assert self.pos.acts[derived_request_id("bar", key)] == 0

    @invariant()
    def every_accepted_key_is_in_the_journal(self) -> None:
        assert set(self.rows()) == self.accepted

    @invariant()
    def states_move_by_the_table_alone(self) -> None:
        assert set(self.moves) <= TRANSITIONS
        self.moves.clear()

    @invariant()
    def every_open_command_is_somebodys(self) -> None:
        open_ids = {row.command_id for row in lookups.open_commands(self.db)}
        assert open_ids <= set(self.live)

    def teardown(self) -> None:
        """In the end, with a network that holds, every key that is asked again comes to the vendor's own end."""
        try:
            if hasattr(self, "keys"):
                self.calm_down()
        finally:
            self.db.close()
            shutil.rmtree(self.directory)

    def calm_down(self) -> None:
        self.late, self.stray = [], []
        self.work_off()
        for wish in [self.wishes[key] for key in sorted(self.accepted)] * 2:
            self.ask(wish)
            self.work_off()
        for key, row in self.rows().items():
            wish = self.wishes[key]
            ends = {"failed", "unknown"} if wish.big else {"rejected"} if wish.refused else {"succeeded"}
            assert row.state in ends, (row.state, wish)  # unknown: a copy of it was out when a connection broke
        self.what_failed_has_never_acted_and_what_succeeded_has_acted_once()
        self.states_move_by_the_table_alone()

    def work_off(self) -> None:
        """Take every step that there is, until there is none."""
        for _ in range(500):
            if not self.live:
                return
            if not self.connected:
                self.connect()
            for command_id in list(self.live):
                self.step(command_id)
            self.take(self.exchange.expire(self.now))
            self.write_frames(1)
            if self.to_pos:
                self.pos_hears_now()
            elif (pause := self.exchange.pause(self.now)) is not None:
                self.now += pause  # one that may have broken a connection waits for its next try
            elif not self.to_daemon and self.in_stage("submitted"):
                self.lose_link(None)  # an answer that never came: the next connection sends it again
            while self.to_daemon:
                self.take([self.exchange.receive(self.to_daemon.pop(0), self.now)])
        raise AssertionError(f"never came to an end: {self.live}")

    def pos_hears_now(self) -> None:
        answer = self.pos.hear(self.to_pos.pop(0))
        if answer is None:
            self.to_pos = []
            self.lose_link(x.MESSAGE_TOO_BIG)
        else:
            self.to_daemon.append(answer)


TestDaemon = Daemon.TestCase
TestDaemon.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_request_given_up_while_it_was_out_does_not_make_another_the_culprit_of_a_1009() -> None:
    """Four steps in a row that chance seldom takes."""
    small: dict[str, Any] = {"big": False, "refused": False, "may_wait": True, "whole": True, "timeout": 30.0}
    machine = Daemon()
    try:
        machine.kiosks(2)
        machine.rush([small, small | {"big": True, "timeout": 5.0}, small, small], 4, "once")
        machine.pos_is_slow(6.0)  # it acted on the small one; the big one's timeout passed, unread
        machine.pos_hears("once")  # 1009
        machine.go_on_with_all()
        machine.what_failed_has_never_acted_and_what_succeeded_has_acted_once()
    finally:
        machine.teardown()
