"""A venue's own order daemon: any kiosk app, any point of sale, no order lost or doubled."""

from typing import Final

__version__: Final = "0.1.0"
