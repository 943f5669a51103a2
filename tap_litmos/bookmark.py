"""A stream's bookmark: which span of time has been read, from STATE in to STATE out.

The state of a stream holds the two keys of the SDK, `replication_key` and
`replication_key_value`, and beside them `replicated_from`. The value, called *the bookmark*, is
the end of the span, never a row's date; `replicated_from` is its beginning. A window that was
read whole extends the span if the two touch. If a window cannot be read whole, the stream
fails; if rows in it were skipped, the stream goes on, but the bookmark does not move past that
window. Within a window the state does not change, whenever the SDK writes it. So a run that was
killed or failed resumes from the last window that was read whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.streams._state import StreamStateManager
from typing_extensions import override

from tap_litmos.errors import RunFailedError
from tap_litmos.windows import (
    EARLIEST,
    format_moment,
    midnight,
    next_midnight,
    parse_moment,
    split_backwards,
    split_forwards,
    split_into_windows,
    start_for,
)
from tap_litmos.wording import FILES

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection

    from pendulum import DateTime

    from tap_litmos.windows import Window

_KEYS = ("replication_key", "replication_key_value", "replicated_from")
"""What the state of a stream holds; other keys are left out."""

_CLOCKS_MAY_DIFFER_MINUTES = 5
"""Tolerance for clocks: another machine's bookmark may be minutes ahead."""


class Bookmark(StreamStateManager):
    """The span of time that has been read of a stream.

    It takes the place of the SDK's state manager, which would follow the rows' dates.
    """

    def __init__(
        self, *, replication_key: str | None, logger: logging.Logger, **sdk: Any
    ) -> None:
        """Make the bookmark; the state is not read yet.

        Args:
            replication_key: The replication key, or None if no bookmark is to be kept.
            logger: Where warnings go.
            sdk: What the SDK's state manager needs.
        """
        super().__init__(**sdk)
        self._replication_key = replication_key
        self._warn = logger.warning  # `_logger` is the SDK's, and private
        self._span: tuple[DateTime, DateTime]  # `plan` sets it
        self._blocked_from: DateTime | None = None

    def plan(
        self,
        start_date: DateTime,
        now: DateTime,
        *,
        days: int,
        lookback_hours: int,
        end: DateTime | None,
    ) -> list[Window]:
        """Read the state, keep its span for `extend`, and return the windows of this sync.

        First come those that go on from the span, oldest first; without a span, from
        `start_date` on. If `start_date` was set back to before the span, the gap between them
        follows, newest window first, so that each touches what was read.

        Args:
            start_date: The moment from which rows are wanted; read from the midnight (UTC) a
                day before, which includes it in all zones.
            now: The current moment.
            days: The span of a closed window, 1 to 7.
            lookback_hours: Hours before the bookmark from which to read again.
            end: Where to stop: at the first midnight at or after it, or at today's midnight
                where that is earlier. None: go on to now.
        """
        since = start_for(start_date)
        read_from, read_to = self._span = self._saved_span(since, now)
        # The lookback reaches back to the span's beginning at most. A later `start_date` does
        # not shorten it: the state would go on saying that the part cut off was read.
        resumed = max(read_from, midnight(read_to.subtract(hours=lookback_hours)))
        if end is None:
            windows = split_into_windows(resumed, now, days=days)
            gap = split_backwards(since, read_from, days=days)  # mostly empty
        else:
            stop = next_midnight(end, at_most=midnight(now))
            windows = split_forwards(resumed, stop, days=days)
            # Where `stop` lies before the span, these windows do not touch it: their rows are
            # written, but they do not count as read, and the next sync reads them again.
            gap = split_backwards(since, min(read_from, stop), days=days)
        return [*windows, *gap]

    def _saved_span(self, since: DateTime, now: DateTime) -> tuple[DateTime, DateTime]:
        """Return the span that the state holds; an empty one at `since` if none counts."""
        saved = self._read_bookmark(now)  # None: none is there, trusted, or to be kept
        if saved is None:
            return since, since
        if saved < since:
            self._warn(
                "%s: start_date is later than the bookmark %s; the time in between is not read",
                self.stream_name,
                saved,
            )
            return since, since
        return self._replicated_from(since, saved), saved  # `since` if the state lacks it

    def extend(self, window: Window, requested_at: DateTime) -> None:
        """Mark a window as read whole, so that the next STATE message says so.

        Nothing changes where it does not touch what was read before, where rows of a window
        that lies before it were skipped, or where no bookmark is kept.

        Args:
            window: The window.
            requested_at: When the window's first page was requested.
        """
        if self._replication_key is None:
            return
        read_from, read_to = self._span
        if window.since > read_to or window.to < read_from:
            return
        # Rows of an older window were skipped: the end stays. The windows of the gap lie before
        # that one, so they still move the beginning.
        if self._blocked_from is not None and window.since >= self._blocked_from:
            return
        read_from = min(read_from, window.since)
        read_to = max(read_to, window.complete_until(requested_at))
        self._span = read_from, read_to
        self.is_flushed = False  # so that the SDK writes a STATE, even if no row came
        self.stream_state.update(
            replication_key=self._replication_key,
            replication_key_value=format_moment(read_to),
            replicated_from=format_moment(read_from),
        )

    def block_at(self, window: Window) -> None:
        """Keep the bookmark from moving past a window in which rows were skipped.

        If the bookmark is past that window already, as with a lookback, it stays where it is.
        """
        # Needed in the lookback: if the span ends on 10 May, and a row of 8 May is skipped, no
        # window from 8 May on may extend the span, which would cover the hole. The first such
        # window is enough, as they come oldest first. Elsewhere the hole itself keeps the
        # windows behind it from touching the span.
        self._blocked_from = self._blocked_from or window.since

    def _read_bookmark(self, now: DateTime) -> DateTime | None:
        """Return the bookmark in the state, or None if there is none that can be trusted."""
        state = self._saved_state
        if self._replication_key is None or not state:
            return None
        value = state.get("replication_key_value")
        at = _parsed(value)
        if value is None:
            reason = "has no value"
        elif at is None:
            reason = f"{value!r:.50} is not a date"
        elif state.get("replication_key") != self._replication_key:
            reason = (
                f"{value!r:.50} belongs to replication key {state.get('replication_key')!r}"
            )
        elif at > now.add(minutes=_CLOCKS_MAY_DIFFER_MINUTES):
            reason = f"{value!r:.50} is in the future"
        else:
            return at
        self._warn(
            "%s: the bookmark %s; reading from start_date again", self.stream_name, reason
        )
        self.stream_state.clear()
        return None

    @property
    def _saved_state(self) -> dict[str, Any]:
        """The stream's state; unlike the SDK's `stream_state`, this makes no entry."""
        state: dict[str, Any] = self.tap_state.get("bookmarks", {}).get(self.stream_name, {})
        return state

    def _replicated_from(self, since: DateTime, read_to: DateTime) -> DateTime:
        """Return the beginning of the span that was read.

        A state written by hand may lack it: then the stream was read from `start_date` on.
        """
        value = self._saved_state.get("replicated_from")
        if value is None:
            return since
        read_from = _parsed(value)
        if read_from is None:
            self._warn(
                "%s: replicated_from %.50r is not a date; reading from start_date again",
                self.stream_name,
                value,
            )
            # Everything before the bookmark counts as unread, also if this run does not end.
            read_from = read_to
            self.stream_state["replicated_from"] = format_moment(read_to)
        # An edited state may name a time within a day. Rounded up, that day counts as unread.
        return next_midnight(read_from, at_most=midnight(read_to))

    # The SDK would keep the state by these; here windows do.

    @override
    def increment_state(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the bookmark is a window's end, never a row's date."""

    @override
    def write_starting_replication_value(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: where a sync starts is part of the plan, not of the state."""

    @override
    def write_replication_key_signpost(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: bookmarks never lie in the future."""


def bookmarks_in(
    state: object, known: Collection[str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the bookmarks that a state holds by stream, and the streams that are unknown.

    Args:
        state: The state, or a whole STATE message; empty in a first run.
        known: The names of all streams.

    Raises:
        RunFailedError: If it is not a Singer state, or the state of another tap.
    """
    given = _unwrapped(state)
    unknown = sorted(given.keys() - set(known))
    if unknown and len(unknown) == len(given):
        raise RunFailedError(
            f"This state belongs to another tap: it has bookmarks of "
            f"{', '.join(unknown)[:200]} only. Pass the state of tap-litmos, or none"
        )
    bookmarks = {
        name: {key: bookmark[key] for key in _KEYS if key in bookmark}
        for name, bookmark in given.items()
    }
    return bookmarks, unknown


def _unwrapped(state: object) -> dict[str, dict[str, Any]]:
    """Return all bookmarks of a state, as they are."""
    if isinstance(state, dict) and state.get("type") == "STATE":
        state = state.get("value", {})  # the line as it was written
    if state == {}:
        return {}
    found = state.get("bookmarks") if isinstance(state, dict) else None
    if isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values()):
        return found
    raise RunFailedError(
        f"Not a Singer state: pass {FILES['--state']}, such as "
        '{"bookmarks": {"users": {"replication_key": …, "replication_key_value": …}}}'
    )


def _parsed(value: object) -> DateTime | None:
    """Return the moment that a state holds, or None if it holds none."""
    try:
        at = parse_moment(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None
    return at if at >= start_for(EARLIEST) else None
