"""The pretend PowerEPOS till on the network, in both roles of a websocket.

In the real world the till dials the provider (``dial``); a daemon that dials itself finds it listening (``serve``).
Either way the daemon sends the requests and the till answers, in JSON text.

Source: https://docs.powerepos.cloud/Document/OrderNPay/Overview
"""

from ordernpay.simulator.auth import AUTH_PATH, Credentials
from ordernpay.simulator.dialing import DialingPos, Refusal, dial
from ordernpay.simulator.faults import Fault, Faults, Planned
from ordernpay.simulator.listening import ListeningPos, serve

__all__ = [
    "AUTH_PATH",
    "Credentials",
    "DialingPos",
    "Fault",
    "Faults",
    "ListeningPos",
    "Planned",
    "Refusal",
    "dial",
    "serve",
]
