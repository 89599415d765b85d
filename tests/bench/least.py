"""The least code that keeps the promises of one durable ``order.update``: what the daemon's own cost is measured against.

Line, JSON, one commit before the wire, websocket, answer, one commit with its event, line. It checks nothing, knows one
vendor and retries nothing, so that whatever the daemon costs beyond it is the price of a feature.

Usage: ``python -m tests.bench.least SOCKET WS_URL JOURNAL``.
"""

import asyncio
import json
import queue
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

Statement = tuple[str, tuple[object, ...]]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY, key TEXT UNIQUE, state TEXT, params TEXT, accepted_at REAL, result TEXT
);
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL, kind TEXT, data TEXT);
"""


class Journal:
    """One thread; whatever waits shares one transaction and one flush."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[tuple[Sequence[Statement], asyncio.Future[None]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, daemon=True).start()

    def write(self, *statements: Statement) -> asyncio.Future[None]:
        """Return a future that is done when the statements are durable."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((statements, done))
        return done

    def _run(self) -> None:
        db = sqlite3.connect(self._path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(SCHEMA)
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            db.execute("BEGIN IMMEDIATE")
            for statements, _ in batch:
                for sql, values in statements:
                    db.execute(sql, values)
            db.execute("COMMIT")
            self._loop.call_soon_threadsafe(_wake, [done for _, done in batch])


def _wake(waiting: Sequence[asyncio.Future[None]]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)


class Least:
    """One kiosk's commands to one POS."""

    def __init__(self, journal: Journal, pos: ClientConnection) -> None:
        self._journal = journal
        self._pos = pos
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def listen(self) -> None:
        """Hand each answer to the command that waits for it."""
        async for text in self._pos:
            self._waiting.pop(json.loads(text)["RequestID"]).set_result(str(text))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Perform one client's lines side by side."""
        async with asyncio.TaskGroup() as tasks:
            while line := await reader.readline():
                tasks.create_task(self._perform(line, writer))

    async def _perform(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        call = json.loads(line)
        params: dict[str, Any] = call["params"]
        key = params["idempotency_key"]
        command_id = str(uuid.uuid5(uuid.NAMESPACE_OID, key))
        await self._journal.write(
            (
                "INSERT INTO commands VALUES (?, ?, 'sent', ?, ?, NULL)",
                (command_id, key, json.dumps(params), time.time()),
            )
        )
        answered = self._waiting[command_id] = asyncio.get_running_loop().create_future()
        await self._pos.send(request(command_id, params))
        answer = await answered
        order = json.loads(answer)["Payload"]["Order"]
        result = json.dumps(
            {
                "order": {
                    "id": order["SalesTransactionID"],
                    "table": order["ServiceModeEntityID"],
                    "total": f"{order['Amount']:.2f}",
                    "owing": f"{order['AmountOwing']:.2f}",
                }
            }
        )
        event = f'{{"command_id":"{command_id}","state":"succeeded","result":{result},"vendor":{answer}}}'
        await self._journal.write(
            (
                "UPDATE commands SET state = 'succeeded', result = ? WHERE id = ? AND state = 'sent'",
                (event, command_id),
            ),
            ("INSERT INTO events (time, kind, data) VALUES (?, 'command.settled', ?)", (time.time(), event)),
        )
        writer.write(f'{{"jsonrpc":"2.0","id":{json.dumps(call["id"])},"result":{event}}}\n'.encode())


def request(request_id: str, params: dict[str, Any]) -> str:
    """Return the UpdateOrder frame of a command."""
    products = [
        {
            "ProductType": 0,
            "PLUIdentifier": line["product"],
            "Name": line["name"],
            "Quantity": line["quantity"],
            "Price": float(line["unit_price"]),
            "TotalAmount": float(line["total"]),
        }
        for line in params["lines"]
    ]
    return json.dumps(
        {
            "RequestID": request_id,
            "ProviderID": 1,
            "ProviderName": "P",
            "DeviceID": "D",
            "UserIdentifier": "1",
            "MessageType": 12,
            "Payload": {"SalesTransactionID": params["order_id"], "UseProviderPrices": True, "Products": products},
        }
    )


async def main(socket: str, url: str, path: str) -> None:
    """Serve until killed."""
    async with connect(url, compression=None, proxy=None) as pos:
        least = Least(Journal(path), pos)
        async with await asyncio.start_unix_server(least.serve, socket, limit=2**20):
            await least.listen()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
