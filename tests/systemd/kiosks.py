"""Kiosks that order beside a test, and the account of every order afterwards: none lost, none doubled."""

import json
import statistics
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from ordernpay.simulator.pages import read_json
from tests.support import rest
from tests.systemd.machine import ENVIRON, journal, run, until
from tests.systemd.venue import Venue

PROGRAM: Final = Path(__file__).parent / "ordering.py"
PYTHON: Final = "/usr/bin/python3"

SOUP: Final = {"table": "7", "lines": [{"product": "1203", "name": "Soup", "quantity": 1}]}
PORTS: Final = {"bar": 8720, "terrace": 8721, "courier": 8722, "hotel": 8723, "cafe": 8724}
ORDERS: Final[dict[str, dict[str, Any]]] = {
    "bar": SOUP,
    "terrace": SOUP,
    "courier": {"type": "pickup", "lines": [rest.line("ros")]},
    "hotel": {"type": "pickup", "lines": [rest.line("tevalis")]},
    "cafe": {"type": "pickup", "lines": [rest.line("doshii")]},
}
KNOWS_REPEATS: Final = frozenset({"bar", "terrace"})
"""Sessions whose vendor tells a repeat by its RequestID; their orders all succeed in the end."""
EVERYWHERE: Final = {"bar": 12, "terrace": 2, "courier": 2, "hotel": 2, "cafe": 2}

_names = iter(range(1, 1_000_000))


def done_at(session: str) -> list[dict[str, Any]]:
    """What the simulated vendor of a session did, in order."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[session]}/simulator/acts", timeout=20) as answer:
        acts: list[dict[str, Any]] = read_json(answer.read().decode())["acts"]
    return acts


def heard_at(session: str) -> int:
    """How many requests the simulated vendor of a session had."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[session]}/simulator/acts", timeout=20) as answer:
        requests: int = read_json(answer.read().decode())["requests"]
    return requests


def plan_fault(session: str, fault: str, **more: Any) -> None:
    """Have something go wrong with the next orders at the vendor of a session."""
    address = f"http://127.0.0.1:{PORTS[session]}/simulator/faults"
    body = json.dumps({"fault": fault} | more).encode()
    urllib.request.urlopen(urllib.request.Request(address, body), timeout=20).close()


@frozen
class Told:
    """What the kiosks report of themselves; times in seconds."""

    name: str
    done_before: dict[str, int]
    orders: list[dict[str, Any]]
    connects: list[float]
    refused: list[str]
    lost: int

    @property
    def longest_wait(self) -> float:
        """From an order to its outcome, whatever lay between."""
        return max(float(order["waited"]) for order in self.orders)

    @property
    def longest_connect(self) -> float:
        """From a call of connect to the connection."""
        return max(self.connects)

    def states(self, *sessions: str) -> Counter[str | None]:
        """How orders ended for the kiosk."""
        return Counter(order["state"] for order in self.orders if not sessions or order["session"] in sessions)

    def text(self) -> str:
        """The figures, for a person."""
        waits = [float(order["waited"]) for order in self.orders]
        told = Counter(answer for order in self.orders for answer in order["told"])
        return (
            f"{len(self.orders)} orders: {dict(self.states())}, answers {dict(told)}; connections lost {self.lost}, "
            f"refused {self.refused}; longest wait of a call {self.longest_wait:.2f} s "
            f"(median {statistics.median(waits):.3f} s), of a connect {self.longest_connect:.3f} s"
        )


@frozen
class Ordering:
    """Kiosks at work."""

    name: str
    done_before: dict[str, int]
    """How much the vendor of each session had done before."""
    process: "subprocess.Popen[str]" = field(repr=False)

    def is_enough(self) -> None:
        """No order beyond those that were asked for at least."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def told(self, seconds: float = 90) -> Told:
        """Wait for their end."""
        out, err = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, err
        return Told(self.name, self.done_before, **json.loads(out.splitlines()[-1]))

    def kill(self) -> None:
        """End them, if they are still there."""
        self.process.kill()
        self.process.wait()


def start_ordering(
    count: int,
    *,
    sessions: dict[str, int] | None = None,
    rate: float = 20,
    timeout: float = 30,
    kiosks: int = 4,
    at_most: int | None = None,
) -> Ordering:
    """Have the user `kiosk` order.

    Args:
        count: how many orders; with `at_most`, how many at least.
        sessions: the share of each session.
        rate: orders a second.
        timeout: seconds, of each call.
        kiosks: over so many connections.
        at_most: go on until so many, unless `Ordering.is_enough` has been said.
    """
    name = f"O{next(_names)}"
    shares = EVERYWHERE if sessions is None else sessions
    before = {session: len(done_at(session)) for session in shares}
    task = {
        "name": name,
        "count": count,
        "at_most": count if at_most is None else at_most,
        "rate": rate,
        "stride": 7,
        "timeout": timeout,
        "kiosks": kiosks,
        "patience": 60,
        "doubt": 4,
        "end_within": 60,
        "sessions": {session: {"share": share, "order": ORDERS[session]} for session, share in shares.items()},
    }
    # In place of a file, which the user could not read where the source stands.
    process = subprocess.Popen(
        ["runuser", "-u", "kiosk", "--", PYTHON, "-c", PROGRAM.read_text(encoding="utf-8")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRON,
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(task) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "begun\n"
    return Ordering(name, before, process)


def rows(name: str) -> dict[str, dict[str, Any]]:
    """The journal's row of each order of these kiosks, by its key."""
    found: dict[str, dict[str, Any]] = {}
    after = None
    while True:
        params = json.dumps({"limit": 1000, "after": after})
        page = run("ordernpay", "call", "command.list", "--json", params).json()
        for row in page["commands"]:
            if row["idempotency_key"].startswith(f"key-{name}-"):
                assert row["idempotency_key"] not in found, f"two commands of one key: {row}"
                found[row["idempotency_key"]] = row
        after = page["next"]
        if after is None:
            return found


def account(told: Told, venue: Venue) -> dict[str, Counter[str]]:
    """Check every order against the journal and against what the vendors did; how they ended at last, by session.

    Each order has one command, which has ended; `succeeded` acted exactly once, `unknown` at most once, `failed` and
    `rejected` never; nothing was done that no order asked for; and nobody was refused at the socket.
    """
    assert told.refused == [], told.text()
    journaled = rows(told.name)
    ended: dict[str, Counter[str]] = {}
    wrong = []
    effects = {}
    for session, before in told.done_before.items():
        done = done_at(session)[before:]
        effects[session] = effects_by_order(session, journaled, done)
        wrong += [f"{session}: {len(done)} acts, of which {effects[session].total()} by these orders"] * (
            len(done) != effects[session].total()
        )
    for order in told.orders:
        row = journaled.get(order["key"])
        state = None if row is None else row["state"]
        times = effects[order["session"]][order["key"]]
        allowed = {"succeeded": {1}, "unknown": {0, 1}, "failed": {0}, "rejected": {0}}.get(str(state), set())
        if times not in allowed or (order["session"] in KNOWS_REPEATS and state != "succeeded"):
            wrong.append(f"{state}, done {times} times: {order}")
        if order["state"] != state and not (order["state"] == "unknown" and state == "succeeded"):
            wrong.append(f"the journal says {state}, the kiosk heard: {order}")
        ended.setdefault(order["session"], Counter())[str(state)] += 1
    asked_for = {order["key"] for order in told.orders}
    wrong += [
        f"done, and no order is known: {key}" for done in effects.values() for key in done if key not in asked_for
    ]
    assert not wrong, "\n".join([told.text(), *wrong[:10]])
    return ended


def effects_by_order(session: str, journaled: dict[str, dict[str, Any]], done: list[dict[str, Any]]) -> Counter[str]:
    """How often the vendor of a session did each order, by its key."""
    if session == "hotel":  # Tevalis knows orders by the number that it gave
        keys = {row["vendor_ids"].get("uid"): key for key, row in journaled.items() if row["session"] == session}
        return Counter(keys[act["uid"]] for act in done if act["uid"] in keys)
    reference = "external_order_ref" if session == "cafe" else "provider_order_id"
    return Counter(key for act in done if (key := f"key-{act[reference]}") in journaled)


def lines_of(since: str, event: str) -> list[dict[str, Any]]:
    """The service's own lines of one event in the system's log."""
    return [line for line in journal(since=since) if line.get("ORDERNPAY_EVENT") == event]


def line_of(since: str, event: str) -> dict[str, Any]:
    """The service's one line of an event, as soon as it has been written: systemd may hear of the event first."""
    [line] = until(lambda: lines_of(since, event))
    return line
