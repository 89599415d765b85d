"""How the Unix socket is got: bound by ourselves, or inherited from systemd, and never taken from a living daemon.

asyncio and anyio remove whatever stands at a path that they are asked to bind, a living socket too. So we bind, under a lock
that ends with our process, and hand the socket on. We remove only what answers nobody, and at the end only what is ours.
"""

import errno
import fcntl
import grp
import os
import socket
import stat
import struct
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

BACKLOG = 128
MOST_PATH_BYTES = 107
_FIRST_INHERITED = 3
_UCRED = struct.Struct("iII")
_SO_PEERGROUPS = 59  # asm-generic/socket.h, Linux 4.13; the socket module has no name for it
_MOST_GROUPS = 256
_GID = struct.Struct("I")


class SocketError(Exception):
    """The socket cannot be had; the text says why and names the path."""


class SocketInUse(SocketError):
    """Another daemon has this socket."""


class NoSuchGroup(SocketError):
    """The socket cannot be given to a group that this machine does not know."""


@attrs.frozen
class Peer:
    """Who is at the other end, as the kernel knew it when the connection was made."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


def peer_of(sock: socket.socket) -> Peer:
    """The process at the other end of a connected Unix socket."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS * _GID.size)
    except OSError:  # an old kernel, or more of them than fit: those of the user database have to do
        groups = b""
    return Peer(pid, uid, gid, frozenset(group for (group,) in _GID.iter_unpack(groups)))


@attrs.define(eq=False)
class BoundSocket:
    """A listening socket that is ours to remove, and the lock that makes it ours. A context manager."""

    socket: socket.socket
    path: Path
    _identity: tuple[int, int]
    _lock: int

    def close(self) -> None:
        """Stop listening, remove the path if it still is our socket, release the lock. May be called twice."""
        if self.socket.fileno() < 0:
            return
        self.socket.close()
        _remove_if_ours(self.path, self._identity)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


def listen_unix(path: str | os.PathLike[str], mode: int = 0o660, group: str | int | None = None) -> BoundSocket:
    """Listen on a Unix socket at a path.

    To be called before any thread is started, since the umask belongs to the whole process.

    Args:
        path: Where; its directory must exist. ``<path>.lock`` is made beside it, and stays.
        mode: Its permissions; at no moment are they wider.
        group: Its group by name or number; ``None`` leaves the process's own.

    Raises:
        SocketInUse: A living process has the socket, or its lock.
        NoSuchGroup: There is no group of that name.
        SocketError: Anything else that stands in the way: the text says what.
    """
    place = Path(path)
    if len(os.fsencode(place)) > MOST_PATH_BYTES:
        raise SocketError(f"{place}: the path of a Unix socket has at most {MOST_PATH_BYTES} bytes")
    gid = _group_id(place, group)
    with ExitStack() as undo:
        lock = _take_lock(place)
        undo.callback(os.close, lock)
        _clear_way(place)
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        with _explained(place), _umask(0o777 & ~mode):
            sock.bind(str(place))
            identity = _identity_of(place)
        undo.callback(_remove_if_ours, place, identity)
        # Nobody gets in before listen(), so that what is set until then is in force from the start.
        with _explained(place):
            if gid is not None:
                os.chown(place, -1, gid, follow_symlinks=False)
            sock.listen(BACKLOG)
        undo.pop_all()
    return BoundSocket(sock, place, identity, lock)


def inherited_sockets(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """The listening sockets that systemd passed to this very process, by their ``FileDescriptorName=``.

    They are used, and never unlinked: their paths are systemd's. The variables are removed, for our children not to take
    the sockets as theirs.

    Args:
        environ: ``os.environ``.

    Raises:
        SocketError: What was passed is not what the variables say, or not a listening socket.
    """
    count = environ.pop("LISTEN_FDS", None)
    pid = environ.pop("LISTEN_PID", None)
    names = environ.pop("LISTEN_FDNAMES", None)
    if count is None or pid != str(os.getpid()):
        return []
    if not count.isdecimal():
        raise SocketError("LISTEN_FDS is not a number")
    fds = range(_FIRST_INHERITED, _FIRST_INHERITED + int(count))
    labels = ["unknown"] * len(fds) if names is None else names.split(":")
    if len(labels) != len(fds):
        raise SocketError(f"LISTEN_FDNAMES has {len(labels)} names for {len(fds)} sockets")
    return [(label, _adopt(fd, label)) for label, fd in zip(labels, fds, strict=True)]


def _adopt(fd: int, label: str) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError(f"inherited descriptor {fd} ({label}) is not a socket: {error.strerror}") from error
    if not listening:
        sock.detach()
        raise SocketError(f"inherited socket {fd} ({label}) does not listen")
    sock.setblocking(False)
    return sock


def _group_id(path: Path, group: str | int | None) -> int | None:
    if not isinstance(group, str):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NoSuchGroup(f"{path}: there is no group {group}") from None


def _take_lock(path: Path) -> int:
    """Lock ``<path>.lock``. The file stays: whoever removed it could remove the lock of the next."""
    with _explained(path):
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno == errno.EWOULDBLOCK:
            raise SocketInUse(f"{path}: another daemon holds {path}.lock") from None
        raise SocketError(f"{path}.lock: {error.strerror}") from error
    return lock


def _clear_way(path: Path) -> None:
    """Remove a socket that nobody listens on any more; leave anything else alone."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{path}: exists and is not a socket; it is not removed")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        outcome = probe.connect_ex(str(path))
    if outcome == errno.ECONNREFUSED:
        with _explained(path):
            path.unlink()
    elif outcome in {0, errno.EAGAIN, errno.EPROTOTYPE}:  # EAGAIN: its queue is full; EPROTOTYPE: of another type
        raise SocketInUse(f"{path}: somebody listens there")
    elif outcome != errno.ENOENT:
        raise SocketError(f"{path}: cannot tell whether somebody listens there: {os.strerror(outcome)}")


def _identity_of(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _remove_if_ours(path: Path, identity: tuple[int, int]) -> None:
    with suppress(OSError):
        if _identity_of(path) == identity:
            path.unlink()


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the errors that an administrator causes into sentences that help him."""
    try:
        yield
    except FileNotFoundError as error:
        raise SocketError(f"{path}: the directory {path.parent} does not exist") from error
    except PermissionError as error:
        raise SocketError(f"{path}: user {os.geteuid()} lacks the right: {error.strerror}") from error
    except OSError as error:
        raise SocketError(f"{path}: {error.strerror}") from error
