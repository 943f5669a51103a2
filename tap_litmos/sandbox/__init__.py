"""A simulated Litmos organisation, served over HTTP on this computer only.

For people without a Litmos account, and for tests. It follows the vendor's document on
date range delta queries and shares no code with the tap but the list of endpoints.
"""

from __future__ import annotations

from .faults import DEFAULT_FAULT_KINDS, FAULT_KINDS
from .org import Organisation
from .server import API_KEY, Incoming, RequestSeen, Sandbox

__all__ = [
    "API_KEY",
    "DEFAULT_FAULT_KINDS",
    "FAULT_KINDS",
    "Incoming",
    "Organisation",
    "RequestSeen",
    "Sandbox",
]
