"""A venue's kiosks as one small program of a local user: the standard library, JSON lines, and the README's four rules.

Orders come at a fixed pace, whatever becomes of the earlier ones. A kiosk whose connection is lost makes another, and
asks again with the same keys; it also does after `unknown` and after whatever is `retryable`, for as long as it has
patience. Reads its task from stdin, says on stdout when it begins, and prints its report at the end; both are JSON. The end
of stdin tells that no order is wanted beyond `count`; without it, they go on to `at_most`.
"""

import asyncio
import contextlib
import errno
import json
import select
import sys
import time
from collections.abc import Iterator
from typing import Any

SOCKET = "/run/ordernpay/ordernpay.sock"
PAUSE = 0.1
ASK_AGAIN = 0.5
NOBODY = -1


class Order:
    """One order: how often it was asked for, and what became of it. Times in seconds since the program began."""

    def __init__(self, number: int, session: str, params: dict[str, Any]) -> None:
        self.key: str = params["idempotency_key"]
        self.number = number
        self.session = session
        self.params = params
        self.asked: list[float] = []
        self.told: list[str | int] = []
        self.state: str | None = None
        self.command_id: str | None = None
        self.began = self.ended = self.doubted = 0.0
        self.done = asyncio.Event()

    def report(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "session": self.session,
            "state": self.state,
            "command_id": self.command_id,
            "asked": len(self.asked),
            "told": self.told,
            "began": self.began,
            "waited": self.ended - self.began,
        }


class Kiosk:
    """One connection at a time, and the orders that wait for an answer on it."""

    def __init__(self, program: "Program") -> None:
        self.program = program
        self.waiting: dict[int, Order] = {}
        self.writer: asyncio.StreamWriter | None = None

    async def live(self) -> None:
        while True:
            began = time.monotonic()
            try:
                reader, self.writer = await asyncio.open_unix_connection(SOCKET, limit=2**22)
            except OSError as error:
                self.program.refused.append(errno.errorcode.get(error.errno or 0, str(error)))
                await asyncio.sleep(PAUSE)
                continue
            self.program.connects.append(time.monotonic() - began)
            for order in list(self.waiting.values()):
                self.ask(order)
            with contextlib.suppress(OSError):
                while (line := await reader.readline()).endswith(b"\n"):
                    self.take(json.loads(line))
            self.program.lost += 1
            writer, self.writer = self.writer, None
            writer.close()

    def begin(self, order: Order) -> None:
        self.waiting[order.number] = order
        self.ask(order)

    def ask(self, order: Order) -> None:
        if self.writer is None or order.number not in self.waiting:
            return  # asked for as soon as there is a connection
        order.asked.append(self.program.now())
        request = {"jsonrpc": "2.0", "id": order.number, "method": "order.create", "params": order.params}
        self.writer.write(json.dumps(request).encode() + b"\n")

    def take(self, answer: dict[str, Any]) -> None:
        order = self.waiting.get(answer.get("id", NOBODY))
        if order is None:
            return  # the daemon says that it closes the connection
        error = answer.get("error")
        told = answer["result"] if error is None else error.get("data") or {}
        order.told.append("result" if error is None else error["code"])
        order.command_id = told.get("command_id") or order.command_id
        order.state = told.get("state")
        now = self.program.now()
        doubtful = order.state == "unknown"
        if doubtful:
            order.doubted = order.doubted or now
        again = doubtful or (error is not None and told.get("retryable"))
        until = order.doubted + self.program.doubt if doubtful else order.began + self.program.patience
        if again and now < until:
            asyncio.get_running_loop().call_later(ASK_AGAIN, self.ask, order)
            return
        del self.waiting[order.number]
        order.ended = self.program.now()
        order.done.set()


class Program:
    """All kiosks, and the pace at which guests order."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.patience: float = task["patience"]
        self.doubt: float = task["doubt"]
        self.started = time.monotonic()
        self.connects: list[float] = []
        self.refused: list[str] = []
        self.lost = 0

    def now(self) -> float:
        return time.monotonic() - self.started

    @staticmethod
    def enough() -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])

    def orders(self) -> Iterator[Order]:
        turns = [name for name, entry in self.task["sessions"].items() for _ in range(entry["share"])]
        for number in range(self.task["at_most"]):
            if number >= self.task["count"] and self.enough():
                return
            # The large share is spread over the small ones: one of each in turn would come in waves.
            session = turns[number * self.task["stride"] % len(turns)]
            reference = f"{self.task['name']}-{number}"
            entry = self.task["sessions"][session]
            yield Order(
                number,
                session,
                {
                    "session": session,
                    "idempotency_key": f"key-{reference}",
                    "timeout": self.task["timeout"],
                    "order": entry["order"] | {"reference": reference},
                },
            )

    async def run(self) -> None:
        kiosks = [Kiosk(self) for _ in range(self.task["kiosks"])]
        made: list[Order] = []
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(kiosk.live()) for kiosk in kiosks]
            print("begun", flush=True)
            for order in self.orders():
                await asyncio.sleep(max(0.0, order.number / self.task["rate"] - self.now()))
                order.began = self.now()
                kiosks[order.number % len(kiosks)].begin(order)
                made.append(order)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.task["end_within"]):
                    for order in made:
                        await order.done.wait()
            for life in lives:
                life.cancel()
        print(
            json.dumps(
                {
                    "orders": [order.report() for order in made],
                    "connects": self.connects,
                    "refused": self.refused,
                    "lost": self.lost,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(Program(json.loads(sys.stdin.readline())).run())
