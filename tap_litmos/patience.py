"""How long to go on trying: one request, an endpoint, and the host of all of them."""

from __future__ import annotations

import math
import random
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from tap_litmos.errors import NoAnswerError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import tenacity

PATIENCE = 5
"""Minutes for which an endpoint, or the host, is tried before it is given up."""

LONGEST_RETRY_AFTER = 10
"""Minutes that a `Retry-After` is followed for, at most."""


class HostHealth:
    """What one request learns about the host and others should know; safe to share.

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
        # For so long a host is tried that was never reached and refuses at once.
        self._patience = minute / 4 if fail_fast else minute
        self._longest_silence = PATIENCE * minute
        self._longest_without_page = PATIENCE * minute if fail_fast else math.inf
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


class Tries:
    """The tries of one request: how long to wait between them, and when to stop.

    Attributes:
        fault: Why the last one failed.
        limited: Whether it was the rate limit, which refuses all other requests too.
        sent_at: When the last one was sent, by the monotonic clock.
        host_is_silent: Whether the host answers at no other endpoint either.
        verdict: What they say of the endpoint when they are over.
    """

    def __init__(
        self, path: str, host: HostHealth, another_answers: Callable[[], bool], minute: float
    ) -> None:
        """Prepare; nothing was tried yet.

        Args:
            path: The path of the endpoint.
            host: What is known of the host.
            another_answers: Asks another endpoint, and returns whether an answer came.
            minute: How long a minute takes, in seconds.
        """
        self.fault = TransientError("not tried yet")
        self.limited = False
        self.sent_at = 0.0
        self.host_is_silent = False
        self.verdict = f"keeps failing after {PATIENCE} minutes of trying"
        self._path = path
        self._host = host
        self._another_answers = another_answers
        self._minute = minute
        self._trying = 0.0

    def wait(self, state: tenacity.RetryCallState) -> float:
        """Return the seconds to wait.

        Beyond the rate limit Litmos answers 503, for up to a minute; but 503 also comes in
        passing. So only the second in a row is taken for the limit: one that came in passing
        has passed by then, and to wait a minute for each would be slow.
        """
        error = state.outcome.exception() if state.outcome else None
        fault = error if isinstance(error, TransientError) else self.fault
        both = {self.fault.status, fault.status}
        again = both == {HTTPStatus.SERVICE_UNAVAILABLE}
        self.limited = again or fault.status == HTTPStatus.TOO_MANY_REQUESTS
        self.fault = fault
        second = self._minute / 60
        if fault.retry_after is not None:
            asked = min(fault.retry_after, LONGEST_RETRY_AFTER * self._minute)
            return asked + second * random.uniform(0.5, 1.5)  # noqa: S311
        if again:
            return self._minute * random.uniform(0.95, 1.0)  # noqa: S311
        doubled = second * 2.0 ** (state.attempt_number - 1)
        return min(doubled, self._minute / 2) * random.uniform(1.0, 2.0)  # noqa: S311

    def are_over(self, state: tenacity.RetryCallState) -> bool:
        """Return whether to give up, which is after five minutes of tries and waits.

        tenacity asks `wait` first, and then this.
        """
        wait = state.upcoming_sleep
        self._trying += time.monotonic() - self.sent_at
        if isinstance(self.fault, NoAnswerError):
            suspect = self._host.is_suspect(
                self._path, self.sent_at, wait, at_once=self.fault.at_once
            )
            self.host_is_silent = suspect and not self._another_answers()
        over = self._trying >= PATIENCE * self._minute and state.attempt_number > 1
        self._trying += wait
        if not over and self._host.is_fruitless(wait):
            self.verdict = "keeps failing"
            over = True
        return over or self.host_is_silent
