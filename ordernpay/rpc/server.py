"""Takes in the local clients, as many as there may be, and keeps count of them."""

import errno
import os
import socket
from collections import Counter
from collections.abc import Callable
from itertools import count

import anyio
import attrs
import structlog
from anyio.lowlevel import checkpoint

from ordernpay.jsontext import JsonObject
from ordernpay.rpc import jsonrpc
from ordernpay.rpc.connection import Client, FollowUp, Handler, Reply
from ordernpay.rpc.limits import Limits, Loads
from ordernpay.rpc.outbox import ClientGone
from ordernpay.rpc.sockets import Peer, peer_of

__all__ = ["Client", "ClientGone", "FollowUp", "Handler", "Limits", "Reply", "Server", "Stats"]

_ACCEPT_PAUSE = 0.2
IDLE_FRESH = 1.0
IDLE = 10.0
"""Seconds of silence after which a client may be cut off for another: of one that never asked, and of any other."""

_log = structlog.get_logger()


@attrs.frozen
class Stats:
    """Figures of a server.

    Args:
        now: Connected at this moment.
        total: Served since the start.
        cut_off: Of these, closed by us for a reason.
        refused: Turned away, because there were too many.
    """

    now: int = 0
    total: int = 0
    cut_off: int = 0
    refused: int = 0


class Server:
    """The local door: JSON-RPC 2.0 over connected stream sockets.

    Args:
        handler: Performs the methods.
        limits: The bounds in force.
        on_opened: Told of each client before its first request.
        on_closed: Told of each client after its last line.
        is_admin: Whether a peer may have one of the connections that are reserved.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits | None = None,
        *,
        on_opened: Callable[[Client], None] | None = None,
        on_closed: Callable[[Client], None] | None = None,
        is_admin: Callable[[Peer], bool] = lambda peer: peer.uid in {0, os.geteuid()},
    ) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._stats = Stats()
        self._is_admin = is_admin
        self.loads = Loads()
        self._clients: set[Client] = set()
        self._numbers = count(1)
        self._full = False

    @property
    def stats(self) -> Stats:
        """The figures as they are now."""
        return self._stats

    async def answered(self, seconds: float) -> None:
        """Wait until every request has its answer in its client's queue, but not longer than so many seconds."""
        with anyio.move_on_after(seconds):
            while any(client.busy for client in self._clients):  # noqa: ASYNC110 - once in a life
                await anyio.sleep(0.005)

    async def serve(self, sock: socket.socket) -> None:
        """Serve the clients of a listening socket until cancelled; it is the caller's to close.

        May run for several sockets at once; the bounds hold for all together. When cancelled, each client gets what is
        queued for it and a ``closed`` notification, if it reads within the grace.
        """
        sock.setblocking(False)
        async with anyio.create_task_group() as clients:
            failing = False
            while True:
                await anyio.wait_readable(sock)
                try:
                    connection, _ = sock.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue
                except OSError as error:
                    if not failing:
                        _log.error("accept_failed", error=errno.errorcode.get(error.errno or 0, "unknown"))
                    failing = True
                    await anyio.sleep(_ACCEPT_PAUSE)
                    continue
                failing = False
                connection.setblocking(False)
                peer = peer_of(connection)
                if self._has_room(peer):
                    clients.start_soon(self._serve_client, connection, self._admit(connection, peer))
                else:
                    self._refuse(connection, peer)
                await checkpoint()

    def _admit(self, connection: socket.socket, peer: Peer) -> Client:
        self._stats = attrs.evolve(self._stats, now=self._stats.now + 1, total=self._stats.total + 1)
        return Client(next(self._numbers), connection, peer, self._handler, self._limits, self.loads)

    def _has_room(self, peer: Peer) -> bool:
        """Whether one more client of this user is taken in, if need be in place of one with which nothing goes on.

        One user gets a share, and administrators a reserve: who fills all that others may have keeps nobody else out.
        """
        limits, taken = self._limits, self._stats.now
        here = Counter(client.peer.uid for client in self._clients if not client.closed)
        if taken < limits.clients - limits.reserved and here[peer.uid] < limits.share:
            return True
        admin = self._is_admin(peer)
        if admin and taken < limits.clients:
            return True
        if taken > limits.clients + limits.reserved:  # so many are leaving already
            return False
        over_share = not admin and here[peer.uid] >= limits.share
        idle = self._most_idle(peer.uid if over_share else max(here, key=here.__getitem__, default=peer.uid))
        if idle is not None:
            idle.cut_off("idle")
        return idle is not None

    def _most_idle(self, uid: int) -> Client | None:
        """The client of a user that can be spared first: one that never asked anything, then one silent for longest."""
        now = anyio.current_time()
        spare = [
            (not fresh, since, client)
            for client in self._clients
            if client.peer.uid == uid and not client.closed and client.idle is not None
            for fresh, since in [client.idle]
            if now - since >= (IDLE_FRESH if fresh else IDLE)
        ]
        return min(spare, key=lambda one: one[:2])[2] if spare else None

    def _refuse(self, connection: socket.socket, peer: Peer) -> None:
        """Answer a client too many. Its line fits into the empty buffer of a new socket."""
        self._stats = attrs.evolve(self._stats, refused=self._stats.refused + 1)
        if not self._full:
            self._full = True
            _log.warning("client_refused", peer_pid=peer.pid, peer_uid=peer.uid, clients=self._limits.clients)
        limits = self._limits
        details: JsonObject = {"clients": limits.clients, "of_one_user": limits.share, "reserved": limits.reserved}
        error = jsonrpc.overloaded(f"More than {limits.clients} clients, or {limits.share} of one user", details)
        with connection:
            try:
                connection.send(jsonrpc.line_of(jsonrpc.failure(None, error)))
            except OSError:
                return

    async def _serve_client(self, connection: socket.socket, client: Client) -> None:
        log = _log.bind(client=client.id, peer_pid=client.peer.pid, peer_uid=client.peer.uid)
        log.debug("client_connected")
        try:
            self._clients.add(client)
            with connection:
                if self._on_opened is not None:
                    self._on_opened(client)
                await client.run()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one client ends that client alone
            log.error("client_failed", error=type(error).__name__)
        finally:
            self._clients.discard(client)
            cut_off = self._stats.cut_off + (client.reason is not None)
            self._stats = attrs.evolve(self._stats, now=self._stats.now - 1, cut_off=cut_off)
            self._full = False
            if self._on_closed is not None:
                self._on_closed(client)
            log.debug("client_disconnected")
