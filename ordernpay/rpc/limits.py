"""The bounds of the local socket: for one client, for one user, for all; in number and in bytes."""

import attrs

from ordernpay.rpc import jsonrpc
from ordernpay.workload import Load


@attrs.frozen
class Limits:
    """What one client may take, and how many clients there may be. Reaching a bound is an error for that client alone.

    Args:
        message_bytes: Length of a line that a client sends.
        batch: Members of a batch.
        in_flight: Requests and notifications of one client that are being worked on.
        clients: Connections at a time.
        queue_lines: Lines that wait to be read by one client.
        queue_bytes: Bytes that wait so; a single line may be longer.
        stall_seconds: How long a client may not read anything while something waits for it.
        grace_seconds: How long a client that is closed gets to read its last lines.
    """

    message_bytes: int = jsonrpc.MAX_BYTES
    batch: int = jsonrpc.MAX_BATCH
    in_flight: int = 128
    clients: int = 256
    queue_lines: int = 1024
    queue_bytes: int = 4 * jsonrpc.MAX_BYTES
    stall_seconds: float = 10.0
    grace_seconds: float = 1.0

    @property
    def reserved(self) -> int:
        """Of the connections, those that only administrators get."""
        return min(16, self.clients // 8)

    @property
    def share(self) -> int:
        """Of the others, how many one user gets."""
        return max(1, (self.clients - self.reserved) // 2)


@attrs.define
class Loads:
    """What all clients of a server hold in memory: lines that are not complete, requests in flight, answers not read."""

    receiving: Load = attrs.field(factory=lambda: Load(2 * jsonrpc.MAX_BYTES, 32 * 2**20))
    working: Load = attrs.field(factory=lambda: Load(24 * 2**20, 64 * 2**20))
    answers: Load = attrs.field(factory=lambda: Load(16 * 2**20, 64 * 2**20))
