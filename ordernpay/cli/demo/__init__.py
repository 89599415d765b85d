"""``ordernpay demo``: one command, no set-up, and every session's story told with real parts.

The stories are a list: another vendor is another entry in ``CAST``.
"""

import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import anyio
import click
from rich.console import Console

from ordernpay.cli import write_nowhere
from ordernpay.cli.demo.doshii import cafe
from ordernpay.cli.demo.order_n_pay import bar, terrace
from ordernpay.cli.demo.ros import courier
from ordernpay.cli.demo.stage import Stage, StageFailed, free_port, stage
from ordernpay.cli.demo.telling import Story, StoryFailed, Telling, print_summary
from ordernpay.cli.demo.tevalis import hotel
from ordernpay.cli.terminal import console, say
from ordernpay.cli.tills import inbound_toml
from ordernpay.client import OrdernpayError, connect

CAST: Final[tuple[Callable[[str], AbstractAsyncContextManager[Story]], ...]] = (
    bar,
    terrace,
    courier,
    hotel,
    cafe,
)
"""What opens each story's simulated vendor, given the address of the daemon's [inbound]."""

MOST_SECONDS: Final = 120.0


@click.command()
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Show an order through every simulated vendor, with the real daemon.

    Needs no set-up and leaves nothing behind: in a directory of its own it starts the simulated tills and the daemon,
    and talks to it through the local socket, as a kiosk would. Exit status 0 only if all went through.
    """
    ctx.exit(anyio.run(_demo))


async def _demo() -> int:
    """The exit status; whatever was started is ended by then."""
    status = 0
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with AsyncExitStack() as stack:
            place = stack.enter_context(stage())
            inbound = f"http://127.0.0.1:{free_port()}"
            stories = [await stack.enter_async_context(one(inbound)) for one in CAST]
            place.write_config([inbound_toml(inbound), *(story.toml for story in stories)])
            async with anyio.create_task_group() as tasks:

                async def stop_on_signal() -> None:
                    nonlocal status
                    status = 128 + await anext(aiter(signals))
                    tasks.cancel_scope.cancel()

                tasks.start_soon(stop_on_signal)
                status = await _perform(console(), place, stories)
                tasks.cancel_scope.cancel()
    return status


async def _perform(out: Console, place: Stage, stories: Sequence[Story]) -> int:
    """Tell every story, then compare what the vendors saw with what they should have seen; the exit status."""
    try:
        with anyio.fail_after(MOST_SECONDS):
            async with place.daemon() as pid, connect(place.socket) as client:
                out.print(f"The daemon runs as process {pid}; its local socket is {place.socket}.")
                for story in stories:
                    out.print(f"\nSession {story.session}: {story.vendor}, {story.about}", style="bold cyan")
                    await _tell(story, Telling(client, out, story.session))
    except BrokenPipeError:  # whoever read has enough; that all went through was not shown
        write_nowhere()
        return 1
    except TimeoutError:
        return _failed(out, place, f"it did not end within {MOST_SECONDS:.0f} seconds")
    except (StageFailed, StoryFailed, OrdernpayError) as error:
        return _failed(out, place, str(error))
    out.print()
    print_summary(stories)
    wrong = [story.session for story in stories if not all(tally.right for tally in story.tallies())]
    if wrong:
        return _failed(out, place, f"the simulated vendor of {', '.join(wrong)} did not do exactly what it should")
    out.print("\nAll went through: nothing lost, nothing done twice.", style="bold green")
    return 0


async def _tell(story: Story, telling: Telling) -> None:
    try:
        await story.tell(telling)
    except (StoryFailed, OrdernpayError) as error:
        raise StoryFailed(f"session {story.session}: {error}") from error


def _failed(out: Console, place: Stage, why: str) -> int:
    out.print(f"\nThe demo failed: {why}.", style="bold red")
    tail = place.log_tail()
    if tail:
        out.print("The end of the daemon's log:")
        say(tail)
    return 1
