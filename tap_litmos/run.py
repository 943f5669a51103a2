"""One run of the tap: its plan, what fetches it, and the summary of what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tap_litmos.errors import RunFailedError
from tap_litmos.fetcher import ExpectedPages, Fetcher
from tap_litmos.paginator import WindowPaginator
from tap_litmos.progress import Progress
from tap_litmos.summary import RunSummary
from tap_litmos.windows import WHOLE_LIST
from tap_litmos.wording import counted, duration

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping, Sequence

    from tap_litmos.declaration import Endpoint
    from tap_litmos.errors import StreamFailedError
    from tap_litmos.transport import Transport
    from tap_litmos.windows import Window

    Plan = Mapping[Endpoint, Sequence[Window]]


class Run:
    """One run, to be used as a context manager.

    Attributes:
        plan: By endpoint, the windows to read, in the order of the sync.
        summary: What was read so far.
        paginators: By stream, what decides which page is next.
        fetcher: What fetches the pages.
        progress: Shows where the run is.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        plan: Plan,
        transport: Transport,
        *,
        logger: logging.Logger,
        is_test: bool = False,
    ) -> None:
        """Prepare the run; nothing is requested yet.

        Args:
            config: The settings, valid and with their defaults.
            plan: For each stream of the run the windows to read, in the order of the sync.
            transport: What to fetch with; the run closes it.
            logger: Where messages go.
            is_test: Whether one record is enough, as with `--test`: then no page after the
                first one of a window is fetched ahead.
        """
        self.plan = plan
        self._is_test = is_test
        # Where a program calls `Tap.sync_all` itself, the run is not entered by `with`, and no
        # `__exit__` reports what went wrong: `fail` and `report_skipped_rows` raise it at once.
        self._is_entered = False
        self.summary = RunSummary(logger)
        self._logger = logger
        self._unlogged_failures: list[str] = []
        limit = config["page_size"]
        self._rate = transport.rate
        self.fetcher = Fetcher(
            transport, limit=limit, concurrency=config["max_concurrent_requests"]
        )
        self.paginators: dict[str, WindowPaginator] = {}
        for endpoint, windows in plan.items():
            paginator = self.paginators[endpoint.stream] = WindowPaginator(windows, limit)
            # The first page of each window is expected at once, the others as `predict` says.
            pages = ExpectedPages(windows, paginator.predict, one_page=is_test)
            self.fetcher.add(endpoint, pages, self.summary.of(endpoint.stream))
        self.progress = Progress(
            self.summary, self._rate, requests_left=self.fetcher.requests_left, logger=logger
        )

    def __enter__(self) -> Self:
        """Log the plan, and begin to show progress."""
        self._is_entered = True
        if not self.plan:
            self._logger.warning("The catalog selects no stream: nothing to sync")
        elif not self._is_test:
            self._log_plan()
        self.progress.__enter__()
        return self

    def _log_plan(self) -> None:
        windows = [window for windows in self.plan.values() for window in windows]
        dated = [window.since for window in windows if window is not WHOLE_LIST]
        rate = self._rate.requests_per_minute
        self._logger.info(
            "Plan: %s%s; at least %s, %s at %s a minute",
            counted(len(self.plan), "stream"),
            f" since {min(dated):%Y-%m-%d}" if dated else "",
            counted(len(windows), "request"),
            # Between n requests there are n - 1 waits.
            duration(60 * (max(len(windows) - 1, 0) // rate)),
            counted(rate, "request"),
        )

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close what the run has opened, log its summary, and judge it.

        Raises:
            RunFailedError: If the run came to its end, but not every row was read, or not every
                endpoint answers.
        """
        self.progress.__exit__()
        self.fetcher.close()
        shared_failure = self._shared_failure()
        if shared_failure is None:
            # The final error names a single failure, so it is not logged here too.
            if kind is not None or len(self._unlogged_failures) > 1:
                self._log_failures()
            if not self._is_test:
                self.summary.close(self._rate.slowdowns)
        if kind is None:
            self._conclude(shared_failure or self.summary.problem)

    def _conclude(self, problem: str | None) -> None:
        """Raise an error if there was a problem."""
        if self._is_test:
            answering = [stats.failure for stats in self.summary.streams.values()].count(None)
            verdict = f"{answering} of {counted(len(self.plan), 'endpoint')} answer"
            if problem:
                raise RunFailedError(f"{verdict}; not ready to sync: {problem}")
            self._logger.info("%s; ready to sync", verdict)
        elif problem:
            raise RunFailedError(f"Sync incomplete: {problem}")

    def fail(self, endpoint: Endpoint, error: StreamFailedError) -> None:
        """Note that a stream failed; the others go on.

        Raises:
            StreamFailedError: If the run was not entered, so that nobody would report it.
        """
        if not self._is_entered:
            raise error
        self.summary.of(endpoint.stream).failure = str(error)
        self._unlogged_failures.append(f"{endpoint.stream} failed: {error}")
        # Once a window was read, not all streams fail for one cause that is told at the end.
        if any(stats.windows for stats in self.summary.streams.values()) and not self._is_test:
            self._log_failures()

    def report_skipped_rows(self) -> None:
        """Report that a stream came to its end, but rows of it were skipped.

        Raises:
            RunFailedError: If the run was not entered, so that nobody would report it.
        """
        if not self._is_entered:
            self._conclude(self.summary.problem)

    def _log_failures(self) -> None:
        for failure in self._unlogged_failures:
            self._logger.error("%s", failure)
        self._unlogged_failures.clear()

    def _shared_failure(self) -> str | None:
        """Return why all streams failed, if all did and for the same reason."""
        failures = {
            endpoint.path: self.summary.of(endpoint.stream).failure or ""
            for endpoint in self.plan
        }
        reasons = {failure.replace(path, "") for path, failure in failures.items()}
        if len(failures) < 2 or len(reasons) > 1 or "" in failures.values():  # noqa: PLR2004
            return None
        first = next(iter(failures.values()))
        return f"all {len(failures)} streams failed for the same reason: {first}"
