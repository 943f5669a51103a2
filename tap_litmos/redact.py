"""Hides the API key in whatever comes from outside, and in all that is logged."""

from __future__ import annotations

import html
import logging
import re
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""The least characters of a key that are hidden where the end of a text cuts it: fewer could
be the end of any text."""


class RedactKey(logging.Filter):
    """Replaces the key in all its spellings; a handler with this filter never logs it."""

    def __init__(self, key: str) -> None:
        """Take the key to hide."""
        super().__init__()
        self._spellings = (key, quote(key, safe=""), quote_plus(key), html.escape(key))
        self._any = re.compile("|".join(map(re.escape, self._spellings)), re.IGNORECASE)

    def install(self) -> None:
        """Hide the key in all that is logged from now on."""
        root = logging.getLogger()
        for logger in (root, *map(logging.getLogger, list(root.manager.loggerDict))):
            for handler in logger.handlers:  # a configuration may give each logger its own
                handler.addFilter(self)

    def hide(self, text: str, *, cut: bool = False) -> str:
        """Return a text without the key.

        Args:
            text: Any text.
            cut: Whether the text was cut off, so that it may end with a part of the key.
        """
        hidden = self._any.sub("***", text)
        if not cut:
            return hidden
        lower = hidden.lower()
        longest = max(
            (
                length
                for spelling in self._spellings
                for length in range(SHORTEST, len(spelling))
                if lower.endswith(spelling[:length].lower())
            ),
            default=0,
        )
        return hidden[: len(hidden) - longest] + "***" if longest else hidden

    def one_line(self, text: str, *, cut: bool = False) -> str:
        """Return a text as one line of at most 300 characters; otherwise like `hide`."""
        hidden = self.hide(text, cut=cut)
        shown = "".join(letter if letter.isprintable() else " " for letter in hidden)
        return " ".join(shown.split())[:300]

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a log record: its message, its traceback, whatever is extra."""
        message = record.getMessage()
        if (hidden := self.hide(message)) != message:
            record.msg, record.args = hidden, None
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            if (hidden := self.hide(trace)) != trace:
                record.exc_info, record.exc_text = None, hidden
        for name, value in vars(record).items():
            if isinstance(value, str):
                setattr(record, name, self.hide(value))
        return True
