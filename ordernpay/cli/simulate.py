"""``ordernpay simulate``: the simulated vendors alone, and the configuration that reaches them."""

import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

import anyio
import click
from attrs import frozen

from ordernpay.cli.terminal import say
from ordernpay.cli.tills import Till, dialling_till, inbound_toml, listening_till
from ordernpay.cli.vendors import cafe_vendor, courier_vendor, hotel_vendor
from ordernpay.simulator.faults import Fault
from ordernpay.simulator.web import WebFault

T = TypeVar("T")

Role = Literal["server", "client", "both", "rest", "all"]

OWN_FILES: Final = """\
[daemon]
state_dir = "ordernpay-state"

[rpc]
socket = "ordernpay.sock"
"""


@frozen
class _Plan:
    """What runs where."""

    role: Role
    host: str
    port: int
    control_port: int
    rest_port: int
    daemon: str


def _http_address(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise click.BadParameter("expected an address such as http://127.0.0.1:8710.")
    return value


EXAMPLES: Final = """\b
Examples:
  ordernpay simulate | tee trial.toml
  ordernpay run --config trial.toml
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--role",
    type=click.Choice(["server", "client", "both", "rest", "all"]),
    default="all",
    show_default=True,
    help="A till of Order N Pay that the daemon dials (server), one that dials the daemon (client), both of them, "
    "ROS, Tevalis and Doshii (rest), or all.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8720,
    show_default=True,
    help="Websocket and HTTP helpers of the till that is a server; 0 takes any free one.",
)
@click.option(
    "--control-port",
    type=click.IntRange(0, 65_535),
    default=8721,
    show_default=True,
    help="HTTP helpers of the till that is a client; 0 takes any free one.",
)
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65_533),
    default=8722,
    show_default=True,
    help="ROS; Tevalis and Doshii take the two ports above it; 0 takes any free ones.",
)
@click.option(
    "--daemon",
    callback=_http_address,
    default="http://127.0.0.1:8710",
    show_default=True,
    help="The daemon's [inbound], which the till that is a client dials.",
)
def simulate(role: Role, host: str, port: int, control_port: int, rest_port: int, daemon: str) -> None:
    """Run the simulated points of sale until Ctrl-C or SIGTERM.

    Prints the configuration that reaches them, as a whole file: another terminal can use it at once.
    """
    anyio.run(_run, _Plan(role, host, port, control_port, rest_port, daemon))


async def _run(plan: _Plan) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with AsyncExitStack() as stack:
            tills = [await _open(stack, till) for till in _tills(plan)]
            rest = [await _open(stack, vendor) for vendor in _rest(plan)]
            say(_file(plan, tills, rest))
            await anext(aiter(signals))


def _tills(plan: _Plan) -> Sequence[AbstractAsyncContextManager[Till]]:
    listening = listening_till("bar", plan.host, plan.port)
    dialling = dialling_till("terrace", plan.daemon, plan.host, plan.control_port)
    both = [listening, dialling]
    return {"server": [listening], "client": [dialling], "both": both, "rest": [], "all": both}[plan.role]


def _rest(plan: _Plan) -> Sequence[AbstractAsyncContextManager[str]]:
    if plan.role not in {"rest", "all"}:
        return []
    first = plan.rest_port
    ports = [0, 0, 0] if first == 0 else [first, first + 1, first + 2]
    return [
        courier_vendor("courier", plan.daemon, plan.host, ports[0]),
        hotel_vendor("hotel", plan.host, ports[1]),
        cafe_vendor("cafe", plan.host, ports[2]),
    ]


async def _open(stack: AsyncExitStack, till: AbstractAsyncContextManager[T]) -> T:
    try:
        return await stack.enter_async_context(till)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen: {error.strerror or error}. Choose another --host, --port, --control-port or --rest-port."
        ) from None


def _file(plan: _Plan, tills: list[Till], rest: list[str]) -> str:
    """The whole configuration, with what else there is to know as its comments."""
    parts = ["# The configuration that reaches the simulated points of sale, which run until Ctrl-C.", OWN_FILES]
    if rest or any(till.role == "listen" for till in tills):
        parts.append(inbound_toml(plan.daemon))
    for till in tills:
        parts.append(f"# What the till of {till.session} did, and how often it was asked:")
        parts.append(f"#   curl {till.control}/simulator/acts")
        parts.append("# Its next order (message type 11) is made, but the connection is cut before the answer:")
        parts.append(
            f"#   curl -X POST {till.control}/simulator/faults"
            """ -d '{"fault": "drop_after", "message_type": 11}'"""
        )
        parts.append(till.toml)
    parts += rest
    if rest:
        parts.append(
            "# ROS, Tevalis and Doshii have the same two paths, at the host and port of their address. Their faults are"
        )
        parts.append(f"# {', '.join(WebFault)};")
        parts.append('# each also takes "path" (a part of it), "method", "count" and "seconds".')
    parts.append(f"# Faults: {', '.join(Fault)}.")
    parts.append('# Each also takes "count", and "late" takes "seconds", "unknown_result_code" takes "result_code".')
    return "\n".join(parts)
