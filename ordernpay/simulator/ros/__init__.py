"""The pretend PowerEPOS Remote Order System (ROS) on the network: its auth server, its REST API and its webhooks.

Sources, all below https://docs.powerepos.cloud/: ``Document/ROS/`` ``Overview``, ``AccessToken``, ``AddRemoteOrder``,
``CancelRemoteOrder``, ``GetMenu``, ``ActiveOutlets``, ``NotificationsWebhook``, and
``Model/POSCorePublic.Models.RemoteOrdering.<ModelName>``.
"""

from ordernpay.simulator.ros.authority import TOKEN_PATH, Credentials
from ordernpay.simulator.ros.book import Act, RefusedError, RemoteOrder
from ordernpay.simulator.ros.fields import Readings
from ordernpay.simulator.ros.notices import Casing, Kind, Notice, Stock, StockCount, Style, Verdict
from ordernpay.simulator.ros.service import RosSimulator, serve
from ordernpay.simulator.ros.venue import DEMO_KAPOW, DEMO_OUTLET, PROVIDER, Organisation, Outlet, Provider, demo
from ordernpay.simulator.ros.webhooks import UNANSWERED, Pace, Sent, Webhooks

__all__ = [
    "DEMO_KAPOW",
    "DEMO_OUTLET",
    "PROVIDER",
    "TOKEN_PATH",
    "UNANSWERED",
    "Act",
    "Casing",
    "Credentials",
    "Kind",
    "Notice",
    "Organisation",
    "Outlet",
    "Pace",
    "Provider",
    "Readings",
    "RefusedError",
    "RemoteOrder",
    "RosSimulator",
    "Sent",
    "Stock",
    "StockCount",
    "Style",
    "Verdict",
    "Webhooks",
    "demo",
    "serve",
]
