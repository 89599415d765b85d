"""What a person types (contract, section 5).

Exit status: 0 done, 1 the daemon answered an error, 2 usage, 69 no daemon that can be reached at the socket, 74 the output
cannot be written, 78 configuration; 130 after Ctrl-C, but for what runs until it is told to end.
"""

import contextlib
import difflib
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final, NoReturn, cast

import click

from ordernpay import __version__

EXIT_INTERRUPTED: Final = 130
EXIT_NO_OUTPUT: Final = 74

COMMANDS: Final = ("run", "check", "doctor", "status", "call", "events", "commands", "schema", "demo", "simulate")
"""Each in the module of its name, and in the order in which they are explained."""


class _Closed(io.TextIOBase):
    """Standard output of a program that was started without one: a write fails as it would at the descriptor."""

    def write(self, text: str, /) -> int:
        del text
        raise OSError(errno.EBADF, "standard output is closed")


class _Program(click.Group):
    """Ends quietly when its reader has enough (`| head`), or on Ctrl-C; in one line where its output cannot be written.

    A command's module is read when the command is wanted: the daemon starts without the simulators, and the Tab key is
    answered soon.
    """

    serves = False
    """It is the daemon that runs, which prints nothing: what fails there is something else."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"ordernpay.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        self.serves = args[:1] == ["run"]
        with _without_controls():
            try:
                return super().resolve_command(ctx, args)
            except click.UsageError as error:
                near = difflib.get_close_matches(args[0].lower(), COMMANDS, n=1)
                if near:
                    error.message = f"{error.message.rstrip('.')}. Did you mean {near[0]}?"  # type: ignore[misc]
                raise

    def main(self, *args: Any, **extra: Any) -> Any:
        _have_streams()
        try:
            try:
                return super().main(*args, **extra)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            _leave(0)
        except (OSError, BaseExceptionGroup) as error:
            failed = _first_failure(error)
            if failed is None or self.serves:
                raise
            _leave(0 if isinstance(failed, BrokenPipeError) else EXIT_NO_OUTPUT, failed)

    def invoke(self, ctx: click.Context) -> Any:
        with _without_controls():
            try:
                result = super().invoke(ctx)
                sys.stdout.flush()
            except BrokenPipeError:
                _leave(0)
            except KeyboardInterrupt:
                ctx.exit(EXIT_INTERRUPTED)
            return result


def _have_streams() -> None:
    """Have the three standard streams, so that no file or socket takes the place of one that was closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    if sys.stdout is None:
        sys.stdout = cast("io.TextIOWrapper", _Closed())
    elif isinstance(sys.stdout, io.TextIOWrapper):  # where a terminal cannot show what a vendor or a folder is called
        sys.stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _without_controls() -> Iterator[None]:
    """Errors are told without what a terminal would act on, whatever was typed or answered."""
    try:
        yield
    except click.ClickException as error:
        lines = error.message.split("\n")
        printable = importlib.import_module("ordernpay.cli.terminal").printable
        error.message = "\n".join(map(printable, lines))  # type: ignore[misc]
        raise


def _first_failure(error: BaseException) -> OSError | None:
    """The first failure of a write in what ended the program."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _first_failure(inner)) is not None), None)
    return error if isinstance(error, OSError) and error.filename is None else None


def _leave(status: int, error: OSError | None = None) -> NoReturn:
    """End without another try at what could not be written."""
    write_nowhere()
    if status != 0 and error is not None:
        with contextlib.suppress(OSError):
            click.echo(f"Error: the output cannot be written: {error.strerror or type(error).__name__}", err=True)
    sys.exit(status)


def write_nowhere() -> None:
    """Nobody reads on: what is still to be flushed when Python ends would fail again, and loudly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ordernpay")
def main() -> None:
    """Orders from any kiosk app to any point of sale, none lost and none doubled."""
