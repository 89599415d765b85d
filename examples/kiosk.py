"""A kiosk in plain Python: places one order once, whatever happens. Usage: kiosk.py SOCKET SESSION REFERENCE"""

import json
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

path, session, reference = sys.argv[1:] if len(sys.argv) == 4 else sys.exit(__doc__)


def listen(method: str, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Calls a method and gives every message that comes, until the connection ends."""
    with socket.socket(socket.AF_UNIX) as daemon, daemon.makefile(encoding="utf-8") as lines:
        daemon.connect(path)
        daemon.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        yield from map(json.loads, lines)


order = {"reference": reference, "table": "14", "lines": [{"product": "1203", "name": "Soup", "quantity": 2}]}
params = {"session": session, "idempotency_key": f"create-{reference}", "timeout": 2, "order": order}
while True:
    try:
        answer = next(listen("order.create", params))
    except (OSError, StopIteration, ValueError):  # no daemon, or it went away: the order may have been placed
        answer = {"error": {"message": "no answer", "data": {"retryable": True}}}
    if not answer.get("error", {}).get("data", {}).get("retryable"):
        break
    print("again, with the same key:", answer["error"]["message"], flush=True)
    time.sleep(0.5)
if "error" in answer:
    error = answer["error"]
    if (
        error["code"] == -32603 or error.get("data", {}).get("state") == "unknown"
    ):  # before all other errors: it may have been placed
        print("unknown, look at the till before you order anew:", error["message"], file=sys.stderr)
        sys.exit(3)
    sys.exit(f"not placed: {error['message']}")
print("placed:", answer["result"]["result"]["order"]["number"], flush=True)
for event in (message.get("params", {}).get("event", {}) for message in listen("event.subscribe", {"since": 0})):
    if event.get("data", {}).get("command_id") == answer["result"]["command_id"]:
        print("event:", event["seq"], event["kind"], event["data"]["state"], flush=True)
        if event["data"]["state"] == "succeeded":
            break
