"""The socket is never taken from a living daemon, never left wider than asked, and only our own is removed."""

import errno
import fcntl
import grp
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ordernpay.rpc.sockets import BoundSocket, Peer, SocketError, SocketInUse, inherited_sockets, listen_unix, peer_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "daemon.sock"


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def leave_behind(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))


def test_it_listens_and_is_gone_after_close(path: Path) -> None:
    with listen_unix(path) as bound:
        assert connects(path)
        assert not bound.socket.getblocking()
        assert not os.get_inheritable(bound.socket.fileno())
    assert not path.exists()
    bound.close()
    with listen_unix(path):
        assert connects(path)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_mode_is_as_asked_and_the_umask_is_put_back(path: Path, mode: int) -> None:
    before = os.umask(0o027)
    try:
        with listen_unix(path, mode):
            assert stat.S_IMODE(path.stat().st_mode) == mode
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_the_group_is_as_asked(path: Path) -> None:
    own = os.getegid()
    with listen_unix(path, 0o660, grp.getgrgid(own).gr_name):
        assert path.stat().st_gid == own
    with listen_unix(path, 0o660, own):
        assert path.stat().st_gid == own


def test_an_unknown_group_is_named(path: Path) -> None:
    with pytest.raises(SocketError, match="no group nobody-of-this-name"):
        listen_unix(path, 0o660, "nobody-of-this-name")
    assert not path.exists()


def test_a_failure_after_the_bind_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(SocketError, match="lacks the right"):
        listen_unix(path, 0o660, os.getegid())
    monkeypatch.undo()
    assert not path.exists()
    listen_unix(path).close()


def test_a_second_daemon_is_refused_and_the_first_goes_on(path: Path) -> None:
    with listen_unix(path):
        with pytest.raises(SocketInUse, match=str(path)):
            listen_unix(path)
        assert connects(path)


def test_a_living_socket_without_a_lock_is_refused(path: Path) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as other:
            other.bind(str(path))
            if kind == socket.SOCK_STREAM:
                other.listen()
            with pytest.raises(SocketInUse, match=str(path)):
                listen_unix(path)
        assert path.is_socket()
        path.unlink()


def test_a_living_socket_with_a_full_queue_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as waiting:
        other.bind(str(path))
        other.listen(0)
        waiting.connect(str(path))
        with pytest.raises(SocketInUse):
            listen_unix(path)


def test_a_stale_socket_is_replaced(path: Path) -> None:
    leave_behind(path)
    with listen_unix(path):
        assert connects(path)


@pytest.mark.parametrize("thing", ["file", "directory", "link"])
def test_what_is_no_socket_is_never_removed(path: Path, tmp_path: Path, thing: str) -> None:
    match thing:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case "link":
            leave_behind(tmp_path / "other.sock")
            path.symlink_to(tmp_path / "other.sock")
    with pytest.raises(SocketError, match="not a socket"):
        listen_unix(path)
    assert path.exists()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match=f"directory {tmp_path}/missing does not exist"):
        listen_unix(tmp_path / "missing" / "daemon.sock")


def test_a_path_may_have_107_bytes_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listen_unix("a" * 107).close()
    with pytest.raises(SocketError, match="at most 107 bytes"):
        listen_unix("a" * 108)
    with pytest.raises(SocketError, match="at most 107 bytes"):
        listen_unix("é" * 54)


def test_a_lock_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    Path(f"{path}.lock").symlink_to(tmp_path / "target")
    with pytest.raises(SocketError):
        listen_unix(path)


def test_a_file_system_without_locks_is_an_error_and_not_a_daemon(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SocketError, match="No locks available") as caught:
        listen_unix(path)
    assert not isinstance(caught.value, SocketInUse)


def test_close_leaves_the_socket_of_another(path: Path) -> None:
    bound = listen_unix(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        bound.close()
        assert connects(path)


def test_many_daemons_at_once_make_one(path: Path) -> None:
    leave_behind(path)
    bound: list[BoundSocket] = []
    refused: list[SocketInUse] = []
    start = threading.Barrier(8)

    def try_to() -> None:
        start.wait()
        try:
            bound.append(listen_unix(path))
        except SocketInUse as error:
            refused.append(error)

    threads = [threading.Thread(target=try_to) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(bound), len(refused)) == (1, 7)
    assert connects(path)
    bound[0].close()


def test_a_killed_daemon_does_not_lock_out_the_next(path: Path) -> None:
    code = (
        "import os, sys; from ordernpay.rpc.sockets import listen_unix;"
        "bound = listen_unix(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"up\n"
        with pytest.raises(SocketInUse):
            listen_unix(path)
        daemon.kill()
        daemon.wait()
    assert path.is_socket()
    with listen_unix(path):
        assert connects(path)


def test_the_peer_is_who_it_is(path: Path) -> None:
    with listen_unix(path) as bound, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        accepted, _ = bound.socket.accept()
        with accepted:
            assert peer_of(accepted) == Peer(os.getpid(), os.geteuid(), os.getegid(), frozenset(os.getgroups()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_peer_has_the_groups_that_its_process_was_given(path: Path) -> None:
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); input()"
    with listen_unix(path, 0o666) as bound:
        bound.socket.setblocking(True)
        kiosk = subprocess.Popen(
            [sys.executable, "-c", connect, str(path)], stdin=subprocess.PIPE, extra_groups=[54321, 54322], group=54320
        )
        with kiosk, bound.socket.accept()[0] as accepted:
            peer = peer_of(accepted)
            kiosk.communicate(b"\n")
        assert (peer.pid, peer.gid, peer.groups) == (kiosk.pid, 54320, frozenset({54321, 54322}))


def test_a_kernel_that_tells_no_groups_tells_the_rest() -> None:
    class Old(socket.socket):
        def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
            if option != socket.SO_PEERCRED:
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            return super().getsockopt(level, option, size)

    one, other = socket.socketpair()
    with other, Old(fileno=one.detach()) as old:
        assert peer_of(old) == Peer(os.getpid(), os.geteuid(), os.getegid())


INHERITOR = """
import os, sys
from ordernpay.rpc.sockets import SocketError, inherited_sockets
for line in sys.argv[1:]:
    key, _, value = line.partition("=")
    os.environ[key] = value.replace("PID", str(os.getpid()))
try:
    for name, sock in inherited_sockets(os.environ):
        print(name, sock.getsockname(), os.get_inheritable(sock.fileno()), sock.getblocking())
except SocketError as error:
    print(error)
print(sorted(key for key in os.environ if key.startswith("LISTEN_")))
"""


def inherit(fd: int, *environment: str) -> list[str]:
    """What a child makes of a descriptor that it gets as number 3, and once more as number 4."""
    both = f"import os, sys; os.dup2({fd}, 9); os.dup2(9, 3); os.dup2(9, 4);"
    code = f"{both} os.execv(sys.executable, [sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"
    command = [sys.executable, "-c", code, INHERITOR, *environment]
    return subprocess.run(command, pass_fds=[fd], check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.fixture
def bound(path: Path) -> Iterator[BoundSocket]:
    with listen_unix(path) as bound:
        yield bound


def test_sockets_of_systemd_are_used_under_their_names(bound: BoundSocket, path: Path) -> None:
    fd = bound.socket.fileno()
    assert inherit(fd, "LISTEN_FDS=2", "LISTEN_PID=PID", "LISTEN_FDNAMES=rpc:other") == [
        f"rpc {path} False False",
        f"other {path} False False",
        "[]",
    ]
    assert inherit(fd, "LISTEN_FDS=1", "LISTEN_PID=PID") == [f"unknown {path} False False", "[]"]
    assert connects(path)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (["LISTEN_FDS=1", "LISTEN_PID=1"], []),
        (["LISTEN_FDS=1"], []),
        (["LISTEN_FDS=0", "LISTEN_PID=PID"], []),
        (["LISTEN_PID=PID"], []),
        (["LISTEN_FDS=one", "LISTEN_PID=PID"], ["LISTEN_FDS is not a number"]),
        (
            ["LISTEN_FDS=2", "LISTEN_PID=PID", "LISTEN_FDNAMES=rpc"],
            ["LISTEN_FDNAMES has 1 names for 2 sockets"],
        ),
    ],
)
def test_variables_that_are_not_for_us_or_do_not_add_up(
    bound: BoundSocket, environment: list[str], expected: list[str]
) -> None:
    assert inherit(bound.socket.fileno(), *environment) == [*expected, "[]"]


def test_what_was_passed_must_be_a_listening_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, socket.socket(socket.AF_UNIX) as idle:
        for fd, problem in ((file.fileno(), "is not a socket"), (idle.fileno(), "does not listen")):
            told, left = inherit(fd, "LISTEN_FDS=1", "LISTEN_PID=PID", "LISTEN_FDNAMES=rpc")
            assert problem in told
            assert left == "[]"


def test_without_variables_nothing_is_inherited() -> None:
    assert inherited_sockets({}) == []
