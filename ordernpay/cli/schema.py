"""``ordernpay schema``: the OpenRPC document, which needs no daemon."""

import click

from ordernpay.cli.terminal import print_json
from ordernpay.rpc.methods import openrpc


@click.command()
def schema() -> None:
    """Print the OpenRPC document: every method, its params and its errors."""
    print_json(openrpc())
