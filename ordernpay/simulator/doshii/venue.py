"""The location that the App is subscribed to: its record, its health and its menu.

Sources: https://support.doshii.io/hc/en-us/articles/115004519394-Get-Locations, ``360007603813-Get-Locations-Health``,
``360007498514-Get-Location-Menu-Product``, and ``lib/menu.ts`` and ``lib/location.ts`` of
https://github.com/doshii-io/doshii-partner-node-sdk.

Assumed, because no page that was seen says it: ``lastVersion`` changes nothing about the answer.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field

from ordernpay.simulator.doshii.events import EXAMPLE_LOCATION
from ordernpay.simulator.doshii.records import as_time, new_version
from ordernpay.simulator.pages import Record

MEANINGS: Final = {"O1": "Unknown item", "O2": "Unknown price", "O3": "Kitchen closed", "P1": "Payment refused"}


def _menu() -> Record:
    dips = {
        "posId": "dips",
        "name": "Dips",
        "min": 0,
        "max": 2,
        "variants": [{"posId": "chilli", "name": "Chilli oil", "price": "150"}],
    }
    fee = {"posId": "box_fee", "name": "Box fee", "type": "absolute", "amount": "80"}
    eggs = {
        "posId": "toasted_eggs",
        "name": "Toasted Sourdough Bread & Eggs",
        "description": "Just ye old classic",
        "type": "single",
        "availability": "available",
        "unitPrice": "1100",
        "tags": [],
        "options": [],
        "surcounts": [],
    }
    box = {
        **eggs,
        "posId": "dumpling_box",
        "name": "Dumpling box",
        "description": "",
        "unitPrice": "900",
        "options": [dips],
        "surcounts": [fee],
    }
    return {"description": "All day", "products": [eggs, box], "options": [dips], "surcounts": [fee]}


@define(eq=False)
class Venue:
    """A location.

    Args:
        location_id: Its hashed ID.
        subscribed: Whether the App may order there.
        pre_processes: ``capability.orderPreProcess``; the sources have ``"supported"``, booleans and strings.
        health: What its health says; ``active``, ``inactive`` and ``unregistered`` were seen.
    """

    location_id: str = EXAMPLE_LOCATION
    name: str = "Paper Lantern"
    subscribed: bool = True
    pre_processes: Any = "supported"
    health: str = "active"
    menu: Record = field(factory=_menu)
    menu_version: str = field(factory=new_version)
    clock: Callable[[], float] = time.time

    def known(self) -> set[str]:
        """Every ``posId`` on the menu."""
        return {product["posId"] for product in self.menu["products"]}

    def change_menu(self, menu: Record | None = None) -> None:
        """Have another menu, or the same one with another version."""
        self.menu = self.menu if menu is None else menu
        self.menu_version = new_version()

    def answer(self, base_url: str) -> Record:
        """As Doshii answers it."""
        return {
            "id": self.location_id,
            "name": self.name,
            "timezone": "Australia/Melbourne",
            "vendor": "example-pos",
            "organisationId": "Org9xkQ",
            "capability": {"healthCheck": True, "orderPreProcess": self.pre_processes, "autoCompleteCheckin": False},
            "uri": f"{base_url}/locations/{self.location_id}",
        }

    def health_answer(self, base_url: str) -> Record:
        """How it is."""
        return {
            "locationId": self.location_id,
            "name": self.name,
            "heartbeat": as_time(self.clock()) if self.health == "active" else None,
            "status": self.health,
            "communicationType": "websockets",
            "locationUri": f"{base_url}/locations/{self.location_id}",
        }

    def menu_answer(self, base_url: str) -> Record:
        """What is sold."""
        uri = f"{base_url}/locations/{self.location_id}/menu"
        return {**self.menu, "version": self.menu_version, "updatedAt": as_time(self.clock()), "uri": uri}
