"""What a storm must have left: nothing lost, doubled or wrong, and events without gap.

* Whoever was told an outcome has it still; who was told anything has a row.
* `succeeded` acted exactly once, `failed` and `rejected` never (an order that the outlet refused afterwards may be either).
* `unknown` is allowed only where the vendor cannot tell: Tevalis; ROS and Doshii where it did not act, and Doshii's
  appended lines; Order N Pay where the POS answers repeats with a code of its own.
* A cancel may be repeated; everything else acts at most once, whatever its state.
"""

import json
from collections import Counter, defaultdict
from typing import Any

from attrs import define, field

from tests.faults.storm.driver import Storm, jumps
from tests.faults.storm.kiosks import Command, ask

Row = dict[str, Any]


@define
class Verdict:
    """What was found, each with what is known of it."""

    lost: list[str] = field(factory=list)
    doubled: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)
    events: list[str] = field(factory=list)
    unknown: Counter[str] = field(factory=Counter)
    states: Counter[str] = field(factory=Counter)

    @property
    def faults(self) -> list[str]:
        """All of it."""
        named = {"LOST": self.lost, "DOUBLED": self.doubled, "WRONG": self.wrong, "EVENTS": self.events}
        return [f"{name}: {fault}" for name, faults in named.items() for fault in faults]


async def judge(storm: Storm) -> Verdict:
    """Compare what the kiosks were told, what the vendors did and what the journal holds."""
    verdict = Verdict()
    rows = {row["idempotency_key"]: row for row in await storm.pages("command.list", "commands")}
    for command in storm.kiosks.commands.values():
        _one(storm, command, rows.get(command.key), verdict)
    for key in set(storm.ledger.by_key) - set(rows):
        verdict.lost.append(f"{key} acted, and no row knows it")
    for command in storm.dice.sample(list(storm.kiosks.commands.values()), min(100, len(rows))):
        asked = {"session": command.session, "idempotency_key": command.key}
        told = await ask(storm.daemon.socket, "command.get", asked)
        row = rows.get(command.key)
        if row is not None and (told is None or told.get("result", {}).get("state") != row["state"]):
            verdict.wrong.append(f"{command.key} is {row['state']}, and command.get by its key tells {told}")
    verdict.wrong += storm.kiosks.wrongs
    verdict.wrong += [f"the page forbids: {what}" for what in storm.ledger.violations]
    verdict.wrong += [f"{what}: {count} times" for what, count in storm.met.items() if what.isupper() or "DIED" in what]
    for path in sorted(storm.shim.directory.iterdir()):
        if "damaged" in path.name:
            verdict.lost.append(f"the journal was moved aside: {path.name}")
    await _events(storm, rows, verdict)
    return verdict


def _told_twice(kept: list[Row]) -> list[str]:
    """Orders that are told to be what they were told to be before: vendors say it twice, kiosks hear it once."""
    last: dict[tuple[str, str], str] = {}
    found = []
    for event in kept:
        if event["kind"] == "order.updated" and (status := event["data"].get("status")):
            order = (event["session"], str(event["data"].get("order_id")))
            if last.get(order) == status:
                found.append(f"event {event['seq']} tells again that {order} is {status}")
            last[order] = status
    return found


def _one(storm: Storm, command: Command, row: Row | None, verdict: Verdict) -> None:
    key, acts = command.key, storm.ledger.count(command.key)
    if row is None:
        told = [told for told in command.told if told.command_id is not None]
        if told:
            verdict.lost.append(f"{key} was told {told[-1].state}, and no row knows it")
        return
    state = row["state"]
    verdict.states[f"{command.vendor} {state}"] += 1
    story = f"{key} ({command.method}, asked {command.asked} times): {state}, {acts} acts"
    story += f", told {[told.state or told.code for told in command.told]}"
    story += f", {_said(row)}"
    if state in {"accepted", "sent"}:
        verdict.lost.append(f"{story}: still open")
    knowingly = 0 if command.vendor == "order-n-pay" else command.retries
    if acts > 1 + knowingly and command.method != "order.cancel":
        verdict.doubled.append(story)
    if state == "succeeded" and acts == 0:
        verdict.wrong.append(story)
    excused = key in storm.ledger.refused or (command.method == "order.cancel" and state == "rejected")
    if state in {"failed", "rejected"} and acts > 0 and not excused:
        verdict.wrong.append(story)
    known = command.first("succeeded", "rejected")
    if known is not None and (known.state, known.result) != (state, row.get("result")):
        verdict.wrong.append(f"{story}: was told {known.state} {json.dumps(known.result)[:200]}")
    if state == "unknown":
        verdict.unknown[command.vendor] += 1
        if not _may_be_unknown(storm, command, acts):
            verdict.wrong.append(f"{story}: the vendor could tell")


def _may_be_unknown(storm: Storm, command: Command, acts: int) -> bool:
    match command.vendor:
        case "order-n-pay":
            return command.session == "annex"
        case "ros":
            return command.method == "order.create" and (acts == 0 or command.key not in storm.ledger.notified)
        case "doshii":
            return acts == 0 or command.method == "order.update"
        case _:
            return command.method != "order.cancel"


def _said(row: Row) -> str:
    error = row.get("error") or {}
    return str(error.get("message") or (error.get("data") or {}).get("kind") or "")[:200]


async def _events(storm: Storm, rows: dict[str, Row], verdict: Verdict) -> None:
    kept = await storm.events()
    await storm.heard(kept[-1]["seq"] if kept else 0)  # a session may have gone up or down since the quiet began
    numbers = [event["seq"] for event in kept]
    if not numbers or numbers[0] != 1 or jumps(numbers):
        verdict.events.append(f"kept are {numbers[:1]}…{numbers[-1:]}, with jumps {jumps(numbers)[:5]}")
    follower = storm.follower
    verdict.events += follower.faults[:20]
    for event in kept:
        heard = follower.seen.get(event["seq"])
        if heard is None:
            verdict.events.append(f"event {event['seq']} was never heard")
        elif heard != json.dumps(event, sort_keys=True):
            verdict.events.append(f"event {event['seq']} was heard otherwise: {heard[:150]}")
    verdict.events += _told_twice(kept)
    settled: dict[str, list[str]] = defaultdict(list)
    for event in kept:
        if event["kind"] == "command.settled":
            settled[event["data"]["idempotency_key"]].append(event["data"]["state"])
    for key, row in rows.items():
        if row["state"] in {"succeeded", "rejected", "failed", "unknown"} and settled[key][-1:] != [row["state"]]:
            verdict.events.append(f"{key} is {row['state']}, and its events told {settled[key]}")
        if settled[key].count("succeeded") > 1:
            verdict.events.append(f"{key} was told to have succeeded {settled[key].count('succeeded')} times")
