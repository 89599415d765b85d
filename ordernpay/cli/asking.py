"""Questions to the daemon, and in words why one was not answered: what, where, what to do."""

import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import anyio
import click

from ordernpay.cli.accounts import group_name, in_group, user_name
from ordernpay.cli.terminal import objects, print_json, printable
from ordernpay.client import (
    Client,
    ConnectionLost,
    NoDaemon,
    NotPermitted,
    RpcFailure,
    TooSlow,
    connect,
    default_socket,
)
from ordernpay.jsontext import JsonError, JsonObject

EXIT_ANSWERED_ERROR: Final = 1
EXIT_NO_DAEMON: Final = 69

T = TypeVar("T")

REMEDIES: Final = {
    "invalid_params": "mend what is named here; `ordernpay schema` tells what each method takes",
    "session_unavailable": "nothing was sent; `ordernpay status` tells why the session is down",
    "too_large": "send less in one call, or raise rpc.max_message_bytes",
    "overloaded": "nothing was done; try again later",
    "forbidden": "join the group named here, or have an administrator allow it in [[rpc.access]]",
    "unsupported": "see what the session has in `details.supported`, or set what is named here",
    "idempotency_conflict": "a new order needs a new idempotency_key; `ordernpay commands` lists what was asked before",
    "shutting_down": "call again with the same idempotency_key once the daemon is back",
    "unknown_session": "`ordernpay status` lists the sessions",
    "rejected": "the vendor decides: see `vendor_code` and `vendor_message`",
    "not_found": "the vendor does not know it: check the identifier, and that it belongs to this session's outlet",
    "out_of_stock": "order without the products in `details.products`",
    "unauthorised": "check the session's credentials and their rights at the vendor",
    "conflict": "read the order again, then decide anew",
    "outcome_unknown": "do not order anew; call again with the same idempotency_key, or look at the till and use "
    "`ordernpay call command.retry` or `command.resolve`",
    "expired": "nothing was sent and nothing will be; call again, with a longer --timeout if need be",
    "vendor_unavailable": "certainly without effect; try again later",
}
NEEDS_KEY: Final = (
    "add a key of your own, such as idempotency_key=order-A-1 or idempotency_key=$(uuidgen), and note it down: the same line "
    "again then tells how the first one ended, and never acts twice"
)
NEEDS_QUOTES: Final = "a number that is meant as text needs its own quotes: pin='\"9071\"'"
NO_SUCH_COMMAND: Final = (
    "`ordernpay commands` lists what the journal holds; the first characters of an id are not enough"
)
NO_SUCH_METHOD: Final = -32601


class NotAnswered(click.ClickException):
    """There is no daemon to answer."""

    exit_code = EXIT_NO_DAEMON


class AnsweredError(click.ClickException):
    """The daemon answered with an error: a sentence for people, and the error as JSON, both on standard error."""

    exit_code = EXIT_ANSWERED_ERROR

    def __init__(self, failure: RpcFailure, place: Path, *, journaled: bool = True) -> None:
        super().__init__(_sentence(failure, place, journaled=journaled))
        self.error: JsonObject = {"code": failure.code, "message": failure.message, "data": failure.data}

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        super().show(file)
        print_json(self.error, err=True)


def socket_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that says where the daemon is."""
    return click.option(
        "--socket",
        "socket",
        metavar="PATH",
        type=click.Path(path_type=Path, readable=False),
        help="The daemon's socket. Default: $ORDERNPAY_SOCKET, else /run/ordernpay/ordernpay.sock.",
    )(command)


def ask(socket: Path | None, method: str, params: JsonObject | None = None) -> JsonObject:
    """Call one method and return its result, or end the program with the reason and its exit status."""

    async def conversation(client: Client) -> JsonObject:
        return await client.call(method, params)

    return converse(socket, conversation)


def converse(socket: Path | None, conversation: Callable[[Client], Awaitable[T]], *, journaled: bool = True) -> T:
    """Hold a conversation with the daemon, or end the program with the reason and its exit status.

    Args:
        socket: where; None for the default.
        conversation: what is asked.
        journaled: whether a command that it ends with can be looked up.
    """

    async def hold() -> T:
        async with connect(socket) as client:
            return await conversation(client)

    with explained(socket, journaled=journaled):
        return anyio.run(hold)


@contextmanager
def explained(socket: Path | None, *, journaled: bool = True) -> Iterator[None]:
    """End the program in words and with the right exit status, however talking to the daemon fails."""
    place = default_socket() if socket is None else socket
    try:
        yield
    except NotPermitted:
        raise NotAnswered(_not_permitted(place.absolute())) from None
    except NoDaemon as error:
        raise NotAnswered(
            f"{error}. Start it (`systemctl start ordernpay`, or `ordernpay run --config FILE`), or name its socket "
            "with --socket or $ORDERNPAY_SOCKET."
        ) from None
    except ConnectionLost as error:
        raise NotAnswered(
            f"no answer from {place}: {error}. The daemon goes on with what it has accepted: `ordernpay commands` "
            "lists it; a call with the same idempotency_key never acts twice."
        ) from None
    except TooSlow as error:
        raise NotAnswered(f"events from {place}: {error}. Go on with --since.") from None
    except RpcFailure as error:
        raise AnsweredError(error, place, journaled=journaled) from None
    except JsonError as error:
        raise click.UsageError(f"this cannot be sent as JSON: {error}.") from None


def _sentence(failure: RpcFailure, place: Path, *, journaled: bool) -> str:
    if failure.code == NO_SUCH_METHOD:
        return f"{place}: {printable(failure.message)}. `ordernpay schema` lists the methods."
    faults = objects({"details": failure.details}, "details") if failure.kind == "invalid_params" else []
    what = "the params are not what the method takes" if faults else printable(failure.message)
    lines = [f"{place}: {what} ({failure.kind or 'error'})."]
    if failure.command_id is not None:
        kept = (
            f"; see `ordernpay commands {failure.command_id}`" if journaled else ", which is not kept: it has no effect"
        )
        lines.append(f"  command: {failure.command_id} ({failure.state}){kept}")
    if failure.vendor_message:
        lines.append(f"  the vendor says: {printable(failure.vendor_message)}")
    lines += [f"  {printable(fault.get('path'))}: {printable(fault.get('message'))}" for fault in faults]
    remedy = _remedy_of(faults) or REMEDIES.get(failure.kind or "")
    if remedy:
        lines.append(f"  What to do: {remedy}.")
    return "\n".join(lines)


def _remedy_of(faults: list[JsonObject]) -> str | None:
    """What to do where it is clear from the params that were not taken."""
    told = {str(fault.get("path")): str(fault.get("message")) for fault in faults}
    if told.get("idempotency_key", "").startswith("required"):
        return NEEDS_KEY
    if told.get("command_id", "").startswith("no such command"):
        return NO_SUCH_COMMAND
    if any(message.startswith("expected text") and message[-1:].isdigit() for message in told.values()):
        return NEEDS_QUOTES
    return None


def _not_permitted(path: Path) -> str:
    """Which place on the way to the socket keeps this user out, and whose it is."""
    barrier, status = _barrier(path)
    group, user = group_name(status.st_gid), user_name(os.geteuid())
    what = "the socket" if barrier == path else "its directory"
    who = f"{what} {barrier} belongs to group {group} (mode {stat.S_IMODE(status.st_mode):04o})"
    if in_group(status.st_gid):
        return f"permission denied at {path}: {who}, which {user} is in, but the mode keeps it out. Check rpc.mode."
    return (
        f"permission denied at {path}: {who}, and {user} is not in it. Have an administrator run "
        f"`adduser {user} {group}`, then log in again."
    )


def _barrier(path: Path) -> tuple[Path, os.stat_result]:
    """What can be seen last on the way: the socket itself, or the directory that lets nobody look behind it."""
    for place in (path, *path.parents):
        try:
            return place, place.stat()
        except OSError:
            continue
    return Path("/"), Path("/").stat()
