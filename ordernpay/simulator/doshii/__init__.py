"""A pretend Doshii, seen from an App: orders, pre-processing, payments, the socket, webhooks.

Each module names its pages and has a table of what it assumed; ``serve`` is the way in.
"""

from ordernpay.simulator.doshii.book import Act
from ordernpay.simulator.doshii.events import COMPLETE, REJECTED, Envelope, Events
from ordernpay.simulator.doshii.forgeries import Forger
from ordernpay.simulator.doshii.pos import Pos, Verdict
from ordernpay.simulator.doshii.records import Style
from ordernpay.simulator.doshii.simulator import DoshiiSimulator, serve
from ordernpay.simulator.doshii.sockets import Heartbeat, SocketFault, Sockets
from ordernpay.simulator.doshii.tokens import App
from ordernpay.simulator.doshii.venue import Venue
from ordernpay.simulator.doshii.webhooks import Delivery, Hook, Webhooks

__all__ = [
    "COMPLETE",
    "REJECTED",
    "Act",
    "App",
    "Delivery",
    "DoshiiSimulator",
    "Envelope",
    "Events",
    "Forger",
    "Heartbeat",
    "Hook",
    "Pos",
    "SocketFault",
    "Sockets",
    "Style",
    "Venue",
    "Verdict",
    "Webhooks",
    "serve",
]
