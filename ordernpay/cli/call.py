"""``ordernpay call``: one RPC from the shell."""

import math
import sys
from pathlib import Path
from typing import Final

import anyio
import click

from ordernpay.cli.asking import converse, socket_option
from ordernpay.cli.completing import method_names
from ordernpay.cli.terminal import print_json
from ordernpay.client import Client, ConnectionLost
from ordernpay.commands import COMMANDS
from ordernpay.jsontext import JsonError, JsonObject, JsonValue, loads

GRACE_SECONDS: Final = 5.0
"""How much longer than the daemon the caller waits, so that the daemon's own word of a timeout arrives."""

TAKE_TIMEOUT: Final = frozenset(COMMANDS) | {"command.retry"}


EXAMPLES: Final = """\b
Examples:
  ordernpay call session.list
  ordernpay call order.create session=bar idempotency_key=A1 order.reference=A1 \\
      order.table='"14"' order.lines='[{"product": "1203", "name": "Soup"}]'
"""


@click.command(epilog=EXAMPLES)
@click.argument("method", shell_complete=method_names)
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--json", "whole", metavar="OBJECT", help="The whole params as a JSON object; - reads it from stdin.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    metavar="SECONDS",
    help="How long to wait: given to the daemon with a vendor command (0.1 to 600, there 30 by default).",
)
@socket_option
def call(method: str, pairs: tuple[str, ...], whole: str | None, timeout: float | None, socket: Path | None) -> None:
    """Call METHOD and print its result as JSON.

    A VALUE that is JSON is taken as JSON (covers=2, mine=true, lines='[{"product": "1001"}]'), anything else as text.
    Text that looks like JSON needs its quotes: pin='"9071"'. Dots build objects: order.reference=A1.

    A PIN on the command line can be seen by every local user; --json - reads it from stdin instead.

    Exit status 1: the daemon answered an error, which is told on stderr, in words and as JSON.
    """
    if whole is not None and pairs:
        raise click.UsageError("give either --json or KEY=VALUE, not both.")
    params = _whole(whole) if whole is not None else _built(pairs)
    if timeout is not None and method in TAKE_TIMEOUT:
        if "timeout" in params:
            raise click.UsageError("the timeout is given twice: as --timeout and among the params.")
        params["timeout"] = timeout

    async def conversation(client: Client) -> JsonObject:
        with anyio.move_on_after(math.inf if timeout is None else timeout + GRACE_SECONDS):
            return await client.call(method, params)
        raise ConnectionLost("it did not answer in time")

    journaled = method not in COMMANDS or COMMANDS[method].changes
    print_json(converse(socket, conversation, journaled=journaled))


def _whole(text: str) -> JsonObject:
    try:
        value = loads(sys.stdin.buffer.read() if text == "-" else text)
    except JsonError as error:
        raise click.UsageError(f"--json: {error}.") from None
    if not isinstance(value, dict):
        raise click.UsageError('--json: expected an object, as in --json \'{"session": "bar"}\'.')
    return value


def _built(pairs: tuple[str, ...]) -> JsonObject:
    params: JsonObject = {}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        names = path.split(".")
        if not equals or not all(names):
            raise click.UsageError(f"{pair!r}: expected KEY=VALUE, as in session=bar or order.reference=A1.")
        _put(params, names, _value(text))
    return params


def _put(params: JsonObject, names: list[str], value: JsonValue) -> None:
    holder = params
    for depth, name in enumerate(names[:-1], start=1):
        inner = holder.setdefault(name, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"{'.'.join(names)}: {'.'.join(names[:depth])} has a value already, and no object.")
        holder = inner
    if names[-1] in holder:
        raise click.UsageError(f"{'.'.join(names)}: given twice.")
    holder[names[-1]] = value


def _value(text: str) -> JsonValue:
    try:
        return loads(text)
    except JsonError:
        return text
