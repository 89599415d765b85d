"""``ordernpay check``: what is wrong or doubtful in a configuration."""

import click

from ordernpay.certificates import authorities_fault, door_faults
from ordernpay.cli.configuration import EXIT_CONFIG, config_option, read_config
from ordernpay.cli.doubts import doubts, machine_doubts, machine_faults
from ordernpay.cli.terminal import print_json, say
from ordernpay.commands import COMMANDS
from ordernpay.config import Config, ConfigError, config_path
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonValue
from ordernpay.rpc.access import idle_rules, unknown_groups
from ordernpay.rpc.methods import METHODS
from ordernpay.vendors.tls import ClientTls


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="For programs: {file, ok, faults, doubts}.")
@click.pass_context
def check(ctx: click.Context, config: str | None, *, as_json: bool) -> None:
    """Read the configuration and say what is wrong or doubtful, without starting anything.

    Every fault ends with exit status 78; doubts alone are no fault.
    """
    path = config_path(config)
    faults: list[Fault] = []
    doubtful: list[Fault] = []
    empty = ""
    try:
        loaded = read_config(path)
        door = loaded.inbound
        faults = [] if door is None else door_faults(door.tls_certificate, door.tls_key)
        doubtful = [*doubts(loaded), *unknown_groups(loaded.rpc), *idle_rules(loaded, (*COMMANDS, *METHODS))]
        faults += machine_faults(loaded)
        doubtful = [*(doubt for doubt in doubtful if doubt.path not in {fault.path for fault in faults})]
        doubtful += [*_authorities(loaded), *machine_doubts(loaded)]
        empty = ", without sessions yet" if not loaded.sessions else ""
    except ConfigError as error:
        faults = error.faults
    if as_json:
        print_json({"file": str(path), "ok": not faults, "faults": _json(faults), "doubts": _json(doubtful)})
    else:
        for fault in faults:
            say(_line(str(path), "", fault))
        for doubt in doubtful:
            say(_line(str(path), "doubtful: ", doubt))
        say(f"{path}: {_count(len(faults), 'fault')}" if faults else f"{path}: ok{empty}")
    if faults:
        ctx.exit(EXIT_CONFIG)


def _authorities(config: Config) -> list[Fault]:
    """Sessions that cannot use a file of theirs for TLS: each stays down, and the others are served."""
    found = []
    for name, session in config.sessions.items():
        why = None if session.ca_file is None else authorities_fault(session.ca_file)
        if why is not None:
            found.append(Fault(f"sessions.{name}.ca_file", f"{why}: it will stay down"))
            continue
        try:
            ClientTls.of(session).context()
        except OSError as error:
            found.append(Fault(f"sessions.{name}.client_certificate", f"{error}: it will stay down"))
    return found


def _line(file: str, label: str, fault: Fault) -> str:
    place = f"{fault.path}: " if fault.path else ""
    return f"{file}: {label}{place}{fault.message}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _json(faults: list[Fault]) -> list[JsonValue]:
    return [fault.as_json() for fault in faults]
