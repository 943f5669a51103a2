"""Whether the host answers at all, as the requests of all streams together tell."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 5
"""Minutes for which an endpoint, or the host, is tried before it is given up."""


class HostHealth:
    """What one request learns about the host and others should know; safe to share.

    An endpoint that fails alone fails its stream. Only a host that answers at no endpoint ends
    the run.
    """

    def __init__(self, paths: Sequence[str], *, is_awaited: bool, minute: float) -> None:
        """Begin a run.

        Args:
            paths: The paths of the endpoints that the run asks.
            is_awaited: Whether somebody waits for the verdict, and may correct the URL at once.
            minute: How long a minute takes, in seconds.
        """
        self._paths = list(paths)
        # For so long a host is tried that was never reached and refuses at once.
        self._patience = minute / 4 if is_awaited else minute
        self._longest_silence = PATIENCE * minute
        self._longest_without_page = PATIENCE * minute if is_awaited else math.inf
        self._page_at = time.monotonic()
        self._lock = threading.Lock()
        self._answered_at = -math.inf
        self._silent_since = math.inf
        self._silent: set[str] = set()

    def answered(self, path: str) -> None:
        """Note that an answer came, whatever its status."""
        with self._lock:
            if path in self._paths:
                self._paths.remove(path)
            self._paths.insert(0, path)
            self._answered_at = time.monotonic()
            self._silent_since = math.inf
            self._silent.clear()

    def page_came(self) -> None:
        """Note that an endpoint answered with a page."""
        self._page_at = time.monotonic()

    def is_fruitless(self, wait: float) -> bool:
        """Return whether to give up, as no endpoint has answered with a page for long.

        Args:
            wait: Seconds until the next try.
        """
        return time.monotonic() + wait - self._page_at > self._longest_without_page

    def is_suspect(self, path: str, since: float, wait: float, *, at_once: bool) -> bool:
        """Note that no answer came; return whether the host itself may be the reason.

        Args:
            path: The path of the endpoint.
            since: When the request was sent, by the monotonic clock.
            wait: Seconds until it would be sent again.
            at_once: Whether it failed before anything was sent: its name was not found, the
                connection refused, TLS not accepted.
        """
        with self._lock:
            self._silent.add(path)
            # From the first request without an answer on, but not before the last answer.
            self._silent_since = max(min(self._silent_since, since), self._answered_at)
            silence = time.monotonic() - self._silent_since
            if at_once and self._answered_at == -math.inf:
                return silence + wait > self._patience
            return silence >= self._longest_silence

    def another_path(self) -> str | None:
        """Return an endpoint that was not silent lately, the last that answered if possible."""
        with self._lock:
            return next((path for path in self._paths if path not in self._silent), None)
