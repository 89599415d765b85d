"""The configuration, as the commands that need it read it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from ordernpay.config import Config, ConfigError, config_path, load
from ordernpay.vendors import CONFIGS

EXIT_CONFIG: Final = 78


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that says where the configuration is."""
    return click.option(
        "--config",
        "config",
        metavar="FILE",
        type=click.Path(readable=False),
        help="Default: $ORDERNPAY_CONFIG, else /etc/ordernpay/ordernpay.toml.",
    )(command)


def read_config(path: Path) -> Config:
    """Read and check the file.

    Raises:
        ConfigError: with every fault found.
    """
    return load(path, CONFIGS)


class ConfigRefused(click.ClickException):
    """The configuration cannot be used; every fault on a line of its own."""

    exit_code = EXIT_CONFIG


def load_config(given: str | None) -> Config:
    """The configuration, or the end of the program with what is wrong in it."""
    try:
        return read_config(config_path(given))
    except ConfigError as error:
        raise ConfigRefused(str(error)) from None
