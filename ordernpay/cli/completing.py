"""What the Tab key offers beside commands, options and their choices. It needs no daemon and never complains."""

import importlib

import click

from ordernpay.config import ConfigError, config_path, parse


def method_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The daemon's methods, for ``ordernpay call``."""
    del ctx, param
    known = [
        *importlib.import_module("ordernpay.commands").COMMANDS,
        *importlib.import_module("ordernpay.rpc.methods").METHODS,
    ]
    return [name for name in known if name.startswith(incomplete)]


def session_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The sessions of the configuration, where this user may read it."""
    del ctx, param
    try:
        sessions = parse(config_path(None)).get("sessions")
    except ConfigError:
        return []
    return [name for name in sessions if name.startswith(incomplete)] if isinstance(sessions, dict) else []
