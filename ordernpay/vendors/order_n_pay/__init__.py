"""PowerEPOS "Order N Pay": JSON over a websocket, answers matched by RequestID.

Pages: docs.powerepos.cloud, Document/OrderNPay/… and Model/POSCorePublic.Models.OrderNPay.…
"""
