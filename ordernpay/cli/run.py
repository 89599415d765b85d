"""``ordernpay run``: the daemon, in the foreground."""

import os
import resource
from collections.abc import Iterator
from typing import Final

import anyio
import click
import structlog

from ordernpay import logs
from ordernpay.cli.configuration import ConfigRefused, config_option, load_config
from ordernpay.config import ConfigError
from ordernpay.daemon import Daemon, StartFailed
from ordernpay.journal import JournalInUse, JournalTooNew, JournalUnavailable
from ordernpay.systemd import Notifier

MOST_DESCRIPTORS: Final = 65_536

log = structlog.get_logger(__name__)


@click.command()
@config_option
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run(config: str | None, log_level: str) -> None:
    """Run the daemon until SIGTERM; SIGHUP reloads the configuration."""
    journaled = logs.configure(level=log_level)
    _raise_descriptors()
    notifier = Notifier.from_environ(os.environ)
    try:
        loaded = load_config(config)
    except ConfigRefused as error:
        notifier.status(f"configuration refused: {error.message}")
        raise _end("configuration_refused", error, journaled=journaled) from None
    failures: list[BaseException] = []
    refusal: type[click.ClickException] = click.ClickException
    try:
        anyio.run(Daemon(loaded, notifier=notifier).run)
    except* ConfigError as group:
        failures, refusal = [*_leaves(group)], ConfigRefused
    except* (StartFailed, JournalInUse, JournalTooNew, JournalUnavailable) as group:
        failures += _leaves(group)
    if failures:
        notifier.status(f"cannot start: {failures[0]}")
        raise _end("start_failed", refusal("\n".join(map(str, failures))), journaled=journaled)


def _raise_descriptors() -> None:
    """Take as many file descriptors as we may have: shells give 1,024 for the sake of select(2), which nothing here calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end(event: str, error: click.ClickException, *, journaled: bool) -> Exception:
    """How the program ends: in systemd's journal the reasons stand among the errors, elsewhere as with any command."""
    if not journaled:
        return error
    for reason in error.message.splitlines():
        log.error(event, reason=reason)
    return click.exceptions.Exit(error.exit_code)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors themselves, out of whatever task groups they came through."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
