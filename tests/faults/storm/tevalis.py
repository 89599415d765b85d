"""A Tevalis written from its help pages (api.tevalis.com), and as strict as they are.

Every submission of a UID makes an order: no page says what a second one does, so the worst is done.
"""

import json
import random
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from tests.faults.storm.ledger import Evil, Ledger
from tests.faults.storm.web import HttpVendor, Reply, Request

SITE: Final = 812
COMPANY: Final = 4021
DEVELOPER: Final = "partner-dev-17"
GUID: Final = "0b7c0e5e-51a4-4b0e-9a63-6f1f2f5d8c11"
GUID2: Final = "8d9f5a52-3c0d-4f47-8b1e-1f7f1f0f6a22"
PRICE: Final = 4.5


class Tevalis(HttpVendor):
    """One site."""

    name = "tevalis"
    weights: ClassVar[Mapping[Evil, float]] = {
        **dict.fromkeys((Evil.CUT_BEFORE, Evil.CUT_HEAD, Evil.CUT_AFTER, Evil.CUT_DURING), 2.0),
        **dict.fromkeys((Evil.LATE, Evil.SLOW_ACT, Evil.SILENT_BEFORE, Evil.SILENT_AFTER), 1.5),
        **dict.fromkeys((Evil.PAGE_BEFORE, Evil.PAGE_AFTER, Evil.PAGE_THEN_ACT), 2.0),
        **dict.fromkeys((Evil.OWN_503_BEFORE, Evil.OWN_500_BEFORE, Evil.OWN_503_AFTER, Evil.OWN_500_AFTER), 1.0),
        **dict.fromkeys((Evil.NOTHING_BEFORE, Evil.NOTHING_AFTER, Evil.TORN_AFTER), 1.0),
        **dict.fromkeys((Evil.REDIRECT, Evil.TOO_MANY, Evil.TIMEOUT_BEFORE, Evil.TIMEOUT_AFTER), 0.7),
        **dict.fromkeys((Evil.UNAUTHORISED, Evil.REFUSED), 0.7),
    }

    def __init__(self, ledger: Ledger, dice: random.Random) -> None:
        super().__init__(ledger, dice)
        self.calculated: dict[str, dict[str, Any]] = {}
        self.submitted: dict[str, str] = {}

    def is_change(self, request: Request) -> bool:
        return request.path.startswith("/v2/OnlineOrders/")

    def act(self, request: Request) -> Reply:
        wanted = {"companyid": str(COMPANY), "guid": GUID, "devid": DEVELOPER}
        if request.method != "GET":
            wanted["guid2"] = GUID2
        if any(request.headers.get(name) != value for name, value in wanted.items()):
            self.ledger.violation("tevalis", "a header is missing")
            return self.error(401, "Authorization has been denied for this request.")
        body = request.json()
        match request.path.rsplit("/", 1)[-1]:
            case "CalculateOnlineOrder":
                return self._calculate(body)
            case "SubmitCalculatedOnlineOrder":
                return self._submit(body, request)
            case "CancelOnlineOrder":
                return self._cancel(body, request)
            case _ if request.path == f"/Catalogue/GetCatalogues/{SITE}":
                return Reply(200, {"Products": [], "TenderTypes": []})
            case _:
                return self.error(404, "No HTTP resource was found")

    def _calculate(self, body: Any) -> Reply:
        if not isinstance(body, dict) or body.get("SiteId") != SITE or not isinstance(body.get("PriceGroupID"), int):
            self.ledger.violation("tevalis", "calculate without SiteId or PriceGroupID")
            return self.error(400, "The request is invalid.")
        items = body.get("OrderItems") or []
        if any(not item.get("PLU") or not isinstance(item.get("Quantity"), int) for item in items):
            self.ledger.violation("tevalis", "an item without PLU or Quantity")
            return self.error(400, "The request is invalid.")
        uid = str(uuid.uuid4())
        self.calculated[uid] = told = self._dto(uid, body, items)
        return Reply(200, told)

    def _dto(self, uid: str, body: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
        lines = [
            {"PLU": item["PLU"], "Quantity": item["Quantity"], "OverridePrice": None, "ItemRef": item.get("ItemRef")}
            | {"ExpGross": PRICE * item["Quantity"], "ItemNotes": [], "Modifiers": []}
            for item in items
        ]
        told = {"UID": uid, "TableNumber": body.get("TableNumber"), "PriceGroupID": body["PriceGroupID"], "Covers": 1}
        told |= {"ServiceChargeAmount": 0.0, "Terminal": "TILL-02", "SalesArea": None}
        told |= {"TotalGross": sum(float(str(line["ExpGross"])) for line in lines)}
        told |= {"EstimatedTimeUTC": "2031-03-04T18:25:00.0000000+00:00", "StandardOrderItems": lines}
        return told | {"StandardMacroItems": [], "Promotions": [], "ConfigurableDiscounts": []}

    def _submit(self, body: Any, request: Request) -> Reply:
        if not isinstance(body, dict) or body.get("SiteId") != SITE or not isinstance(body.get("CustomerInfo"), dict):
            self.ledger.violation("tevalis", "submit without SiteId or CustomerInfo")
            return self.error(400, "The request is invalid.")
        calculated = self.calculated.get(str(body.get("UID")))
        if calculated is None:
            return self.error(400, "unknown UID")
        key = str(calculated["StandardOrderItems"][0]["ItemRef"])
        kind = "update" if body.get("MergeOnToExistingBill") else "create"
        self.ledger.act(key, kind, self.name, request.arrived, str(body["UID"]))
        self.submitted[str(body["UID"])] = key
        return Reply(200, calculated)

    def _cancel(self, body: Any, request: Request) -> Reply:
        if not isinstance(body, dict) or body.get("SiteId") != SITE or not body.get("Reason"):
            self.ledger.violation("tevalis", "cancel without SiteId or Reason")
            return self.error(400, "The request is invalid.")
        uid = str(body.get("UID"))
        if uid not in self.submitted:
            return self.error(400, "unknown UID")
        self.ledger.act(str(body["Reason"]), "cancel", self.name, request.arrived, uid)
        return Reply(200, self.calculated[uid])

    def error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
        return Reply(status, raw=json.dumps({"Message": text}).encode(), headers=headers or {})
