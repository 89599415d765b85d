"""The configuration that reaches each simulated REST vendor, for `demo` and `simulate`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ordernpay.addresses import is_loopback
from ordernpay.cli.tills import quoted
from ordernpay.simulator import doshii as doshii_simulator
from ordernpay.simulator import ros as ros_simulator
from ordernpay.simulator.doshii import DoshiiSimulator
from ordernpay.simulator.ros import Credentials, RosSimulator
from ordernpay.simulator.tevalis import TevalisSimulator


def courier_toml(session: str, ros: RosSimulator) -> str:
    """A session of the simulated ROS."""
    organisation = ros.organisation
    credentials = Credentials()
    return _table(
        session,
        vendor="ros",
        auth_url=ros.token_url,
        organisation=organisation.code,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        webhook_secret=organisation.webhook_secret,
        outlet_id=organisation.outlets[0].outlet_id,
        provider_id=ros.provider.provider_id,
        provider_name=ros.provider.name,
        currency="GBP",
    )


def hotel_toml(session: str, tevalis: TevalisSimulator) -> str:
    """A session of the simulated Tevalis."""
    credentials = tevalis.site.credentials
    return _table(
        session,
        vendor="tevalis",
        base_url=tevalis.base_url,
        api_version=tevalis.site.version,
        site_id=tevalis.site.site_id,
        price_group_id=tevalis.site.price_groups[0],
        company_id=credentials.company_id,
        dev_id=credentials.dev_id,
        guid=credentials.guid,
        guid2=credentials.guid2,
        tender_type_id=14,
    )


def cafe_toml(session: str, doshii: DoshiiSimulator) -> str:
    """A session of the simulated Doshii."""
    return _table(
        session,
        vendor="doshii",
        base_url=doshii.base_url,
        socket_url=doshii.socket_url,
        location_id=doshii.location_id,
        client_id=doshii.app.client_id,
        client_secret=doshii.app.client_secret,
    )


@asynccontextmanager
async def courier_vendor(session: str, daemon: str, host: str, port: int) -> AsyncIterator[str]:
    """ROS, whose outlet confirms each order after a second; the configuration that reaches it.

    Raises:
        OSError: It cannot listen there.
    """
    simulator = RosSimulator(webhook_url=f"{daemon}/webhooks/ros/{session}", auto_process=1.0)
    async with ros_simulator.serve(simulator, host=host, port=port) as ros:
        yield courier_toml(session, ros) + _insecure(host)


@asynccontextmanager
async def hotel_vendor(session: str, host: str, port: int) -> AsyncIterator[str]:
    """Tevalis; the configuration that reaches it.

    Raises:
        OSError: It cannot listen there.
    """
    async with TevalisSimulator().serve(host=host, port=port) as tevalis:
        yield hotel_toml(session, tevalis) + _insecure(host)


@asynccontextmanager
async def cafe_vendor(session: str, host: str, port: int) -> AsyncIterator[str]:
    """Doshii, with a POS that takes every order; the configuration that reaches it.

    Raises:
        OSError: It cannot listen there.
    """
    async with doshii_simulator.serve(host=host, port=port) as doshii:
        yield cafe_toml(session, doshii) + _insecure(host)


def _insecure(host: str) -> str:
    return "" if is_loopback(host) else "allow_insecure = true\n"


def _table(session: str, **values: str | int) -> str:
    lines = [f"{name} = {quoted(value) if isinstance(value, str) else value}" for name, value in values.items()]
    return "\n".join([f"[sessions.{session}]", *lines]) + "\n"
