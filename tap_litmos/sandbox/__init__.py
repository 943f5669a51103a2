"""A simulated Litmos organisation, served over HTTP on this computer only.

For people without a Litmos account, and for tests. It follows the vendor's document on date
range delta queries, and shares no code with the tap except the declarations of the endpoints,
from which it draws its rows.
"""

from __future__ import annotations

from .org import Organisation
from .server import API_KEY, Answer, Incoming, Sandbox

__all__ = ["API_KEY", "Answer", "Incoming", "Organisation", "Sandbox"]
