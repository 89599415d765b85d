"""A ROS written from its pages (docs.powerepos.cloud/Document/ROS/…), and as strict as they are.

Every add that is taken makes an order, whether or not there is one with that ProviderOrderID: no page says otherwise.
"""
# ruff: noqa: PLR0911 - a table of paths and what each answers

import asyncio
import hashlib
import hmac
import json
import random
import time
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from tests.faults.storm.ledger import Evil, Ledger
from tests.faults.storm.web import HttpVendor, Reply, Request, post

ORGANISATION: Final = "DEMOORG"
KAPOW: Final = "c2f0a7d1-6a55-4a3e-b0ce-90de11aa2203"
OUTLET: Final = "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"
PROVIDER: Final = 4711
PROVIDER_NAME: Final = "DemoEats"
CLIENT: Final = "storm-client"
SECRET: Final = "storm-client-secret"
WEBHOOK_SECRET: Final = "storm-webhook-secret"
TRIES: Final = 10


class Ros(HttpVendor):
    """Authorisation server, ROS and the outlet's POS."""

    name = "ros"
    weights: ClassVar[Mapping[Evil, float]] = {
        **dict.fromkeys((Evil.CUT_BEFORE, Evil.CUT_HEAD, Evil.CUT_AFTER, Evil.CUT_DURING), 2.0),
        **dict.fromkeys((Evil.LATE, Evil.SLOW_ACT, Evil.SILENT_BEFORE, Evil.SILENT_AFTER), 1.5),
        **dict.fromkeys((Evil.PAGE_BEFORE, Evil.PAGE_AFTER, Evil.PAGE_THEN_ACT), 2.0),
        # A 500 and a 503 in its own JSON are to be repeated (table of the cancel page): they have not acted.
        **dict.fromkeys((Evil.OWN_503_BEFORE, Evil.OWN_500_BEFORE), 1.0),
        **dict.fromkeys((Evil.NOTHING_BEFORE, Evil.NOTHING_AFTER, Evil.TORN_AFTER), 1.0),
        **dict.fromkeys((Evil.REDIRECT, Evil.TOO_MANY, Evil.TIMEOUT_BEFORE, Evil.TIMEOUT_AFTER), 0.7),
        **dict.fromkeys((Evil.UNAUTHORISED, Evil.REFUSED), 0.7),
    }

    def __init__(self, ledger: Ledger, dice: random.Random, session: str) -> None:
        super().__init__(ledger, dice)
        self.session = session
        self.inbound_port = 0
        self.orders: dict[str, str] = {}
        self.given_up = 0
        self._tokens: dict[str, float] = {}

    def is_change(self, request: Request) -> bool:
        return request.path in {"/svc/remoteorders/add", "/svc/remoteorders/cancel"}

    def act(self, request: Request) -> Reply:
        if request.path == "/authorisation/token":
            return self._token(request)
        if not request.path.startswith("/svc/"):
            return self.error(404, "no such page")
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) < time.monotonic():
            return self.error(401, "token missing or invalid")
        match request.path.removeprefix("/svc").split("/"):
            case ["", "remoteorders", "add"] if request.method == "POST":
                return self._add(request)
            case ["", "remoteorders", "cancel"] if request.method == "POST":
                return self._cancel(request)
            case ["", "remoteorders", "activeoutlets", provider] if provider == str(PROVIDER):
                outlets = {"kapow": KAPOW, "organisationCode": "", "outletIDs": [OUTLET]}
                return Reply(200, {"providerID": PROVIDER, "activeOrganisation": outlets})
            case ["", "remoteorders", "menu", *_]:
                return Reply(200, {"menus": []})
            case _:
                return self.error(404, "no such page")

    def _token(self, request: Request) -> Reply:
        form = dict(parse_qsl(request.body.decode()))
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        wanted |= {"org_id": ORGANISATION, "scope": "ros offline_access"}
        if form != wanted:
            self.ledger.violation("ros", f"token request with {sorted(form)}")
            return self.error(400, "invalid_request")
        token, life = uuid.uuid4().hex, self.dice.choice((5, 60, 28_800))
        self._tokens[token] = time.monotonic() + life
        told = {"token_type": "Bearer", "access_token": token, "expires_in": life, "refresh_token": "r"}
        return Reply(200, told | {"svc": f"{self.url}/svc/", "org_id": ORGANISATION})

    def _add(self, request: Request) -> Reply:
        body = request.json()
        if not isinstance(body, dict) or (wrong := _wrong_with(body)):
            self.ledger.violation("ros", f"add: {wrong if isinstance(body, dict) else 'no JSON object'}")
            return self.error(400, "malformed")
        key, identity = str(body["providerOrderID"]), str(uuid.uuid4())
        self.ledger.act(key, "create", self.name, request.arrived, identity)
        self.orders[identity] = key
        self.spawn(self._process(key, identity))
        return Reply(200, {"remoteOrderID": identity})

    def _cancel(self, request: Request) -> Reply:
        body = request.json()
        required = {"remoteOrderID", "outletID", "providerID", "providerName"}
        if not isinstance(body, dict) or required - body.keys() or len(body.get("cancelReason") or "") > 32:
            self.ledger.violation("ros", "cancel: a required field is missing, or a reason too long")
            return self.error(400, "malformed")
        if body["remoteOrderID"] not in self.orders:
            return self.error(400, "unknown order")
        identity = str(uuid.uuid4())
        self.ledger.act(str(body.get("cancelReason")), "cancel", self.name, request.arrived, identity)
        return Reply(200, {"remoteOrderCancellationID": identity})

    # What the outlet makes of it, told by webhook

    async def _process(self, key: str, identity: str) -> None:
        await asyncio.sleep(self.mischief.seconds(0.0, 3.0))
        confirmed = self.dice.random() > 0.05
        if not confirmed:
            self.ledger.refused.add(key)
        entry = {"providerID": PROVIDER, "providerOrderID": key, "currencyCode": "GBP", "outletID": OUTLET}
        entry |= {"remoteOrderID": identity, "providerProcessedNotified": False, "isConfirmed": confirmed}
        entry |= {"testOrder": False, "dateTimeProcessed": "2026-05-02T18:07:31.250Z"}
        if not confirmed:
            entry |= {"rejectionReason": "Kitchen closed"}
        body = {"OrganisationCode": ORGANISATION, "Kapow": KAPOW, "ProcessedOrders": [entry]}
        raw = json.dumps({"Type": 2, "Body": body}).encode()
        await self.notify(key, raw)
        if self.dice.random() < 0.2:  # the same once more, under its own id or under another
            await self.notify(key, raw)

    async def notify(self, key: str, raw: bytes) -> None:
        """Deliver a notification, again until it is answered 200; the pages' hour is half a minute here."""
        notification, pause = str(uuid.uuid4()), 0.1
        signature = hmac.new(WEBHOOK_SECRET.encode(), raw, hashlib.sha256).hexdigest()
        for attempt in range(TRIES):
            headers = {"X-ROS-Id": "ros7", "X-ROS-NotificationId": notification, "X-ROS-AttemptNumber": str(attempt)}
            headers |= {"X-ROS-Signature": signature}
            status = await post(self.inbound_port, f"/webhooks/ros/{self.session}", raw, headers)
            self.ledger.met[f"ros: webhook {status}"] += 1
            if status == 200:
                self.ledger.notified.add(key)
                return
            await asyncio.sleep(pause)
            pause = min(8.0, 1.8 * pause)
        self.given_up += 1


def _wrong_with(body: dict[str, Any]) -> str | None:
    required = {"providerID", "providerName", "providerOrderID", "outletID", "totalAmount"}
    if required - body.keys():
        return f"lacks {sorted(required - body.keys())}"
    if body["providerID"] != PROVIDER or body["providerName"] != PROVIDER_NAME or body["outletID"] != OUTLET:
        return "of another provider or outlet"
    if not 1 <= len(body["providerOrderID"]) <= 64:
        return "providerOrderID"
    if any(isinstance(body.get(name), str) for name in ("totalAmount", "providerID")):
        return "a number as text"
    return None
