"""Vendors that answer at once and keep nothing, so that a benchmark measures the daemon and not a simulator.

Usage: ``python -m tests.bench.peers pos|ros PORT`` or ``… tills PORT COUNT``.
"""

import asyncio
import json
import resource
import sys
import uuid
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

AUTH_SECRET: Final = "bench-auth-secret"
ORDER_ID: Final = "a60fba87-58ec-4b12-b71c-57572036c6bc"
ORDER: Final = {
    "SalesTransactionID": ORDER_ID,
    "ServiceModePrefix": "TBL",
    "ServiceModeEntityID": "14",
    "OrderNumberOpened": "B1",
    "CurrencyCode": "GBP",
    "Amount": 1.0,
    "AmountOwing": 1.0,
    "IsClosed": False,
    "RemainingServiceChargeAmount": 0.0,
    "Covers": 0,
    "Products": [],
    "Taxes": [],
}


async def till(connection: ServerConnection | ClientConnection) -> None:
    """Answer every request of Order N Pay with the same order."""
    async for frame in connection:
        asked = json.loads(frame)
        await connection.send(
            json.dumps(
                {
                    "RequestID": asked["RequestID"],
                    "ResultCode": 0,
                    "ErrorMessage": None,
                    "MessageType": asked["MessageType"],
                    "Payload": {"Order": ORDER, "OutOfStockProducts": None},
                }
            )
        )


async def pos(port: int) -> None:
    """Be a till that is dialled."""
    async with serve(till, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


async def ros(port: int) -> None:
    """Be the authorisation server and ROS in one."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lower = head.lower()
                length = int(lower.split("content-length:")[1].split("\r\n")[0]) if "content-length:" in lower else 0
                await reader.readexactly(length)
                body = json.dumps(_answer(head.split(" ")[1], port)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def _answer(path: str, port: int) -> Any:
    if path.endswith("token"):
        service = f"http://127.0.0.1:{port}"
        return {"access_token": "t", "token_type": "Bearer", "expires_in": 86_400, "svc": service}
    if path.endswith("add"):
        return {"remoteOrderID": str(uuid.uuid4())}
    return []


async def tills(port: int, count: int) -> None:
    """Be so many tills that dial the daemon; 32 of them come up at a time."""
    room = asyncio.Semaphore(32)

    async def dial(client: httpx.AsyncClient, number: int) -> ClientConnection:
        asked = {"ProviderOutletID": f"venue-{number}", "POSRemoteID": f"remote-{number}", "AuthSecret": AUTH_SECRET}
        while True:
            answer = await client.post(f"http://127.0.0.1:{port}/api/powerepos/v1/auth", json=asked)
            if answer.status_code == httpx.codes.OK:
                break
            await asyncio.sleep(0.2)
        url = f"ws://127.0.0.1:{port}/ws?token={answer.json()['AccessToken']}"
        return await connect(url, compression=None, proxy=None, ping_interval=None, max_queue=1)

    async def live(client: httpx.AsyncClient, number: int) -> None:
        async with room:
            connection = await dial(client, number)
        await till(connection)

    async with httpx.AsyncClient(trust_env=False, timeout=60) as client, asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(live(client, number))


def main(kind: str, port: int, count: int = 1) -> None:
    """Run one kind of peer until killed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(tills(port, count) if kind == "tills" else {"pos": pos, "ros": ros}[kind](port))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
