"""A simulated Litmos organisation, served over HTTP on this computer only.

For people without a Litmos account, and for tests. It follows the vendor's document on
date range delta queries, or behaves more strangely, and shares no code with the tap but the
declarations of the endpoints, from which it draws its rows.
"""

from __future__ import annotations

from .faults import ALL_FAULT_KINDS, FAULT_KINDS, Answer
from .habits import Habits
from .org import Organisation
from .server import API_KEY, Incoming, Sandbox

__all__ = [
    "ALL_FAULT_KINDS",
    "API_KEY",
    "FAULT_KINDS",
    "Answer",
    "Habits",
    "Incoming",
    "Organisation",
    "Sandbox",
]
