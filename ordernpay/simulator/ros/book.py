"""What ROS does with orders and cancellations, without I/O.

Sources: https://docs.powerepos.cloud/Document/ROS/AddRemoteOrder, ``CancelRemoteOrder``, ``GetMenu``, ``ActiveOutlets``.

Assumed, because no page that was seen says it:

==================================  ========================================================================
a repeated ``providerOrderID``      is a new order: no rule against doubles was found
a repeated cancellation             is accepted, and is a new cancellation
an order nobody knows               400; also one of another outlet or organisation
another provider's number           400 (``Readings.wrong_provider``); 403 where it stands in a path
another name of the provider        400
an outlet nobody knows              403, like one that has the integration switched off
names in answers                    ``remoteOrderID``, ``remoteOrderCancellationID``; ``providerID``,
                                    ``activeOrganisation`` of the active outlets
==================================  ========================================================================
"""

import uuid
from typing import Literal

from attrs import define, field, frozen

from ordernpay.simulator.pages import FieldError, Record, read_json
from ordernpay.simulator.ros.fields import CANCELLATION, Readings, order_of
from ordernpay.simulator.ros.sums import check_sums
from ordernpay.simulator.ros.venue import Organisation, Outlet, Provider, menu_answer


class RefusedError(Exception):
    """A request that is refused with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@frozen
class Act:
    """Something that was done, by the provider's wish."""

    kind: Literal["add", "cancel"]
    provider_order_id: str
    remote_order_id: str


@define
class RemoteOrder:
    """An order that ROS holds; ``cancellations`` are the IDs of those accepted."""

    remote_order_id: str
    organisation: Organisation
    body: Record
    received: str
    cancellations: list[str] = field(factory=list)

    @property
    def provider_order_id(self) -> str:
        """The provider's own ID."""
        return self.body["providerOrderID"] or ""


@define
class Book:
    """The orders of all organisations.

    Attributes:
        orders: By ``remoteOrderID``, in the order of their coming.
        acts: Every effect, in order.
    """

    provider: Provider
    readings: Readings
    orders: dict[str, RemoteOrder] = field(factory=dict)
    acts: list[Act] = field(factory=list)

    def add(self, organisation: Organisation, text: str, now: str) -> RemoteOrder:
        """Take an order.

        Raises:
            FieldError: The pages forbid it.
            RefusedError: It is not for this outlet or of this provider.
        """
        body = order_of(self.readings)(read_json(text), "")
        if self.readings.checked_sums:
            check_sums(body, self.readings)
        self._check_provider(body)
        _outlet(organisation, body["outletID"] or "")
        order = RemoteOrder(str(uuid.uuid4()), organisation, body, now)
        self.orders[order.remote_order_id] = order
        self.acts.append(Act("add", order.provider_order_id, order.remote_order_id))
        return order

    def cancel(self, organisation: Organisation, text: str) -> str:
        """Take a cancellation, and return its ID.

        Raises:
            FieldError: The pages forbid it.
            RefusedError: It is not for this outlet or of this provider.
        """
        body = CANCELLATION(read_json(text), "")
        self._check_provider(body)
        outlet = _outlet(organisation, body["outletID"])
        order = self.orders.get(body["remoteOrderID"].lower())
        if order is None or order.organisation.code != organisation.code:
            raise FieldError("remoteOrderID", "is no ID that an order was given when it was added")
        if order.body["outletID"] and order.body["outletID"].lower() != outlet.outlet_id.lower():
            raise FieldError("outletID", "is not the outlet that the order was sent to")
        cancellation = str(uuid.uuid4())
        order.cancellations.append(cancellation)
        self.acts.append(Act("cancel", order.provider_order_id, order.remote_order_id))
        return cancellation

    def menu(self, organisation: Organisation, provider_id: str, outlet_id: str) -> Record:
        """The menus of an outlet."""
        self._check_path(provider_id)
        return menu_answer(_outlet(organisation, outlet_id), self.provider)

    def active_outlets(self, organisation: Organisation, provider_id: str) -> Record:
        """The outlets that have the integration switched on; the code is always empty here."""
        self._check_path(provider_id)
        return {
            "providerID": self.provider.provider_id,
            "activeOrganisation": {
                "kapow": organisation.kapow,
                "organisationCode": "",
                "outletIDs": [outlet.outlet_id for outlet in organisation.outlets if outlet.enabled],
            },
        }

    def _check_provider(self, body: Record) -> None:
        if body["providerID"] != self.provider.provider_id:
            raise RefusedError(self.readings.wrong_provider, "providerID is not that of the provider.")
        if body["providerName"] not in {None, self.provider.name}:
            raise RefusedError(400, "providerName is not the name that the provider is registered with.")

    def _check_path(self, provider_id: str) -> None:
        if provider_id != str(self.provider.provider_id):
            raise RefusedError(403, "The token is not for this provider.")


def _outlet(organisation: Organisation, outlet_id: str) -> Outlet:
    outlet = organisation.outlet(outlet_id)
    if outlet is None:
        raise RefusedError(403, "The token is not for this outlet.")
    if not outlet.enabled:
        raise RefusedError(403, "The outlet has the integration switched off.")
    return outlet
