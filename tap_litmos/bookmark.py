"""A stream's bookmark: which span of time was read, from STATE in to STATE out.

`replication_key_value`, called *the bookmark*, is the end of the span, never a row's date;
`replicated_from` is its beginning. A window that was read whole extends the span if the two
touch. So a run that was killed or failed resumes from the last window that was read whole.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pendulum
from singer_sdk.streams._state import StreamStateManager

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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pendulum import DateTime

    from tap_litmos.windows import Window

KEYS = ("replication_key", "replication_key_value", "replicated_from")
"""What the state of a stream holds."""

_CLOCKS_MAY_DIFFER_MINUTES = 5


class Stateless(StreamStateManager):
    """Leaves the state alone; the SDK's own manager would follow the rows' dates."""

    def _do_nothing(self, *args: Any, **kwargs: Any) -> None: ...

    increment_state = _do_nothing
    write_starting_replication_value = _do_nothing
    write_replication_key_signpost = _do_nothing


class Bookmark(Stateless):
    """The span of time that was read of a stream."""

    def __init__(self, replication_key: str | None, **sdk: Any) -> None:
        """Make the bookmark; `plan` reads the state.

        Args:
            replication_key: The replication key. None: no bookmark is kept.
            sdk: What the SDK's state manager needs.
        """
        super().__init__(**sdk)
        self._log = logging.getLogger(f"tap-litmos.{self.stream_name}")
        self._key = replication_key
        self._span: tuple[DateTime, DateTime]  # `plan` sets it
        self._blocked_from: DateTime | None = None

    def plan(self, config: Mapping[str, Any]) -> list[Window]:
        """Return the windows of this sync, in the order in which they are read.

        First come those that go on from the span, oldest first. If `start_date` was set back to
        before the span, the gap between them follows, newest window first, so that each touches
        what was read.

        Args:
            config: The settings.
        """
        now, days, end = pendulum.now("UTC"), config["window_days"], config.get("end_date")
        since = start_for(parse_moment(config["start_date"]))
        read_from, read_to = self._span = self._saved_span(since, now)
        # The lookback goes back to the span's beginning at most. A later `start_date` does not
        # shorten it: the state would go on saying that the part cut off was read.
        lookback = midnight(read_to.subtract(hours=config["lookback_hours"]))
        resumed = max(read_from, lookback)
        if end is None:
            windows = split_into_windows(resumed, now, days=days)
            gap = split_backwards(since, read_from, days=days)  # mostly empty
        else:
            stop = next_midnight(parse_moment(end), at_most=midnight(now))
            windows = split_forwards(resumed, stop, days=days)
            # If `stop` lies before the span, these windows do not touch it: their rows are
            # written, but the next sync reads them again.
            gap = split_backwards(since, min(read_from, stop), days=days)
        return [*windows, *gap]

    def extend(self, window: Window, requested_at: DateTime) -> None:
        """Record that a window was read whole, so that the next STATE message says so.

        Nothing changes if it does not touch what was read before, or no bookmark is kept.

        Args:
            window: The window.
            requested_at: When the window's first page was requested.
        """
        if self._key is None:
            return
        read_from, read_to = self._span
        is_blocked = self._blocked_from is not None and window.since >= self._blocked_from
        if is_blocked or window.since > read_to or window.to < read_from:
            return
        read_from = min(read_from, window.since)
        read_to = max(read_to, window.complete_until(requested_at))
        self._span = read_from, read_to
        self.stream_state.update(
            zip(KEYS, (self._key, format_moment(read_to), format_moment(read_from)), strict=True)
        )

    def block_at(self, window: Window) -> None:
        """Keep the bookmark from moving past a window that was not read whole.

        Later windows overlap it in the lookback, and would extend the span over the hole.
        Windows of the gap lie before it, so they still move the span's beginning.
        """
        self._blocked_from = self._blocked_from or window.since

    def _saved_span(self, since: DateTime, now: DateTime) -> tuple[DateTime, DateTime]:
        """Return the span that the state holds; an empty one at `since` if none counts."""
        state = self.tap_state.get("bookmarks", {}).get(self.stream_name, {})
        if self._key is None or not state:
            return since, since
        value, start = state.get("replication_key_value"), state.get("replicated_from")
        read_to, read_from = _moment(value), _moment(start)
        if read_to is None or state.get("replication_key") != self._key:
            return self._ignore(f"the state {state!r:.200} is not valid", since)
        if read_to > now.add(minutes=_CLOCKS_MAY_DIFFER_MINUTES):
            return self._ignore(f"the bookmark {value} is in the future", since)
        if read_to < since:
            self._log.warning("start_date is after the bookmark %s; skipping the gap", value)
            return since, since
        if read_from is None:
            text = "the state %r lacks replicated_from; assuming it was read from start_date on"
            self._log.warning(text, state)
            return since, read_to
        # An edited state may name a time within a day. Rounded up, that day counts as unread.
        return next_midnight(read_from, at_most=midnight(read_to)), read_to

    def _ignore(self, problem: str, since: DateTime) -> tuple[DateTime, DateTime]:
        self._log.warning("%s; reading from start_date again", problem)
        self.stream_state.clear()
        return since, since


def bookmarks_in(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the bookmarks of a state by stream, without the keys that the tap does not know.

    Args:
        state: A state; a STATE message; or a state as Meltano prints or stores it.

    Raises:
        RunFailedError: If it is not a Singer state.
    """
    found = _bookmarks(state.get("completed", state)) | _bookmarks(state.get("partial", {}))
    if not all(isinstance(entry, dict) for entry in found.values()):
        raise RunFailedError(
            f"Not a Singer state: {state!r:.200}. Pass the last STATE message that the target "
            "emitted, or its value"
        )
    return {
        stream: {key: entry[key] for key in KEYS if key in entry} for stream, entry in found.items()
    }


def _bookmarks(state: dict[str, Any]) -> dict[str, Any]:
    for wrapper in ("value", "singer_state"):
        state = state.get(wrapper, state)
    bookmarks = state.get("bookmarks", {"": None} if state else {})
    return bookmarks if isinstance(bookmarks, dict) else {"": bookmarks}


def _moment(value: Any) -> DateTime | None:
    """Return the moment that a state holds, None if it holds none."""
    try:
        at = parse_moment(value)
    except (ValueError, TypeError):
        return None
    return at if at >= start_for(EARLIEST) else None
