"""How long to go on trying: one request, an endpoint, and the host of all of them."""

from __future__ import annotations

import math
import random
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_litmos.errors import TransientError

PATIENCE = 5
"""Minutes for which to try an endpoint, or the host, before giving up; chosen, not measured."""

LONGEST_RETRY_AFTER = 10
"""Minutes that a `Retry-After` is followed for, at most."""


class HostHealth:
    """What is known about the host; all requests share it, from several threads.

    An endpoint that fails alone fails its stream. Only a host that answers at no endpoint ends
    the run.
    """

    def __init__(self, paths: Sequence[str], *, fail_fast: bool, minute: float) -> None:
        """Begin a run.

        Args:
            paths: The paths of the endpoints that the run asks.
            fail_fast: Whether somebody waits for the verdict, and may correct the URL at once.
            minute: How long a minute takes, in seconds.
        """
        self._paths = list(paths)
        # A host that was never reached and refuses connections is tried only this long.
        self._give_up_unreached_after = minute / 4 if fail_fast else minute
        self._give_up_silent_after = PATIENCE * minute
        self._give_up_pageless_after = PATIENCE * minute if fail_fast else math.inf
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
        # One assignment needs no lock.
        self._page_at = time.monotonic()

    def is_fruitless(self, wait: float) -> bool:
        """Return whether to give up, as no endpoint has answered with a page for long.

        Args:
            wait: Seconds until the next try.
        """
        return time.monotonic() + wait - self._page_at > self._give_up_pageless_after

    def note_silence(
        self, path: str, since: float, wait: float, *, before_sending: bool
    ) -> bool:
        """Note that no answer came; return whether the host itself may be the reason.

        Args:
            path: The path of the endpoint.
            since: When the request was sent, by the monotonic clock.
            wait: Seconds until it would be sent again.
            before_sending: Whether it failed before anything was sent, as `NoAnswerError` says.
        """
        with self._lock:
            self._silent.add(path)
            # From the first request without an answer on, but not before the last answer.
            self._silent_since = max(min(self._silent_since, since), self._answered_at)
            silence = time.monotonic() - self._silent_since
            if before_sending and self._answered_at == -math.inf:
                return silence + wait > self._give_up_unreached_after
            return silence >= self._give_up_silent_after

    def another_path(self) -> str | None:
        """Return an endpoint that was not silent lately, the last that answered if possible."""
        with self._lock:
            return next((path for path in self._paths if path not in self._silent), None)


class Tries:
    """The tries of one request: how long to wait between them, and when to stop.

    Attributes:
        count: How many there were.
        sent_at: When the last one was sent, by the monotonic clock.
        limited: Whether the rate limit refused it, as it then refuses all other requests too.
        are_over: Whether they took five minutes, waits included.
    """

    def __init__(self, minute: float) -> None:
        """Prepare; nothing was tried yet.

        Args:
            minute: How long a minute takes, in seconds.
        """
        self.count = 0
        self.sent_at = 0.0
        self.limited = False
        self.are_over = False
        self._minute = minute
        self._took = 0.0
        self._last_status = 0

    def begin(self) -> None:
        """Note that a request is sent."""
        self.count += 1
        self.sent_at = time.monotonic()

    def wait_after(self, fault: TransientError) -> float:
        """Return the seconds to wait after a try that failed."""
        self._took += time.monotonic() - self.sent_at
        self.are_over = self._took >= PATIENCE * self._minute and self.count > 1
        wait = self._backoff(fault)
        self._took += wait
        self._last_status = fault.status
        return wait

    def _backoff(self, fault: TransientError) -> float:
        """Return the seconds to wait.

        Beyond the rate limit Litmos answers 503, for up to a minute; but 503 also comes for a
        moment, for no reason. So only the second in a row is taken for the limit: to wait a
        minute for each would be slow.
        """
        twice_503 = self._last_status == fault.status == HTTPStatus.SERVICE_UNAVAILABLE
        self.limited = twice_503 or fault.status == HTTPStatus.TOO_MANY_REQUESTS
        second = self._minute / 60
        # All waits have jitter: requests that failed together should not come again together.
        if fault.retry_after is not None:
            asked = min(fault.retry_after, LONGEST_RETRY_AFTER * self._minute)
            return asked + second * random.uniform(0.5, 1.5)  # noqa: S311
        if twice_503:
            return self._minute * random.uniform(0.95, 1.0)  # noqa: S311
        doubled = second * 2.0 ** (self.count - 1)
        return min(doubled, self._minute / 2) * random.uniform(1.0, 2.0)  # noqa: S311
