"""What a person types (contract, section 5).

Exit status: 0 done, 1 the daemon answered an error, 2 usage, 69 no daemon that can be reached at the socket, 78
configuration; 130 after Ctrl-C, but for what runs until it is told to end.
"""

import importlib
import io
import os
import sys
from typing import Any, Final

import click

from ordernpay import __version__

EXIT_INTERRUPTED: Final = 130

COMMANDS: Final = ("run", "check", "doctor", "status", "call", "events", "commands", "schema", "demo", "simulate")
"""Each in the module of its name, and in the order in which they are explained."""


class _Program(click.Group):
    """Ends quietly when its reader has enough (`| head`), or on Ctrl-C.

    A command's module is read when the command is wanted: the daemon starts without the simulators, and the Tab key is
    answered soon.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"ordernpay.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):  # where a terminal cannot show what a vendor or a folder is called
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            write_nowhere()
            ctx.exit(0)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        return result


def write_nowhere() -> None:
    """Nobody reads on: what is still to be flushed when Python ends would fail again, and loudly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ordernpay")
def main() -> None:
    """Orders from any kiosk app to any point of sale, none lost and none doubled."""
