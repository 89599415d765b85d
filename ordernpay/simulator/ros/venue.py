"""Who takes part: the organisations with their outlets and menus, and the provider that sends them orders.

Source: https://docs.powerepos.cloud/Model/POSCorePublic.Models.RemoteOrdering.Menus.Menu and the other ``Menus`` pages.

Assumed, because no page that was seen says it: the metadata stand in ``outletMetadata`` of a menu's answer, the groups
of a menu in ``menuItemGroups``.
"""

from decimal import Decimal
from typing import Any, Final

from attrs import define, field, frozen


@frozen
class Provider:
    """As PowerEPOS has registered it."""

    provider_id: int = 4711
    name: str = "DemoEats"


@define
class Outlet:
    """A restaurant; its ID is its own only together with the organisation's code.

    Attributes:
        enabled: Whether it has the integration switched on; may be changed at any time.
        revision: Of its menu, which is told in the metadata.
    """

    outlet_id: str
    name: str = "The Demo Arms"
    enabled: bool = True
    revision: int = 7


@frozen
class Organisation:
    """A customer of PowerEPOS; the secret signs its webhooks."""

    code: str
    kapow: str
    webhook_secret: str = field(repr=False)
    outlets: tuple[Outlet, ...]

    def outlet(self, outlet_id: str) -> Outlet | None:
        """The outlet with this ID, in any case of letters."""
        return next((one for one in self.outlets if one.outlet_id.lower() == outlet_id.lower()), None)


PROVIDER: Final = Provider()
DEMO_KAPOW: Final = "c2f0a7d1-6a55-4a3e-b0ce-90de11aa2203"
DEMO_OUTLET: Final = "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"


def demo() -> Organisation:
    """An organisation with one outlet, new at each call: what a test switches off stays its own."""
    return Organisation("DEMOORG", DEMO_KAPOW, "demo-webhook-secret", (Outlet(DEMO_OUTLET),))


_SOUP: Final = "11111111-1111-4111-8111-000000000001"
_PIE: Final = "11111111-1111-4111-8111-000000000002"
_GROUP: Final = "22222222-2222-4222-8222-000000000001"


def menu_answer(outlet: Outlet, provider: Provider) -> dict[str, Any]:
    """The MenuResponse of an outlet."""
    return {
        "menus": [
            {
                "outletID": outlet.outlet_id,
                "providerID": provider.provider_id,
                "providerName": provider.name,
                "menuID": "all-day",
                "trackingID": "all-day",
                "languageCode": "en",
                "countryCode": "GB",
                "currencyCode": "GBP",
                "title": "All day",
                "menuItems": [
                    {"menuItemID": _SOUP, "productID": "1203", "name": "Soup", "price": Decimal("4.50")},
                    {"menuItemID": _PIE, "productID": "1204", "name": "Pie", "price": Decimal("9.20")},
                ],
                "menuItemGroups": [{"menuItemGroupID": _GROUP, "name": "Food", "menuItemIDs": [_SOUP, _PIE]}],
            }
        ],
        "outletMetadata": {
            "outletID": outlet.outlet_id,
            "revisionID": outlet.revision,
            "outletName": outlet.name,
            "timeZoneName": "Europe/London",
        },
    }
