"""Hides the API key in whatever comes from outside, and in all that is logged."""

from __future__ import annotations

import html
import logging
import re
from os.path import commonprefix
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""The least characters of a key's beginning that are hidden, as a text may be cut within the
key: fewer could be part of any text."""


class RedactKey(logging.Filter):
    """Replaces the key in all its spellings, whole or cut; a handler with it never logs it."""

    def __init__(self, key: str) -> None:
        """Take the key to hide."""
        super().__init__()
        self._spellings = (key, quote(key, safe=""), quote_plus(key), html.escape(key))
        beginnings = {re.escape(spelling[:SHORTEST]) for spelling in self._spellings}
        self._beginning = re.compile("|".join(beginnings), re.IGNORECASE | re.ASCII)

    def install(self) -> None:
        """Hide the key in all that is logged from now on."""
        root = logging.getLogger()
        for logger in (root, *map(logging.getLogger, list(root.manager.loggerDict))):
            for handler in logger.handlers:  # a configuration may give each logger its own
                handler.addFilter(self)

    def hide(self, text: str) -> str:
        """Return a text without the key, and without longer beginnings of it."""
        shown, at = "", 0
        for found in self._beginning.finditer(text):
            if found.start() >= at:
                shown += f"{text[at : found.start()]}***"
                at = found.start() + self._length_at(text, found.start())
        return shown + text[at:]

    def _length_at(self, text: str, start: int) -> int:
        """Return how many characters of the key stand in a text, from a place on."""
        return max(
            len(commonprefix([text[start : start + len(spelling)].lower(), spelling.lower()]))
            for spelling in self._spellings
        )

    def one_line(self, text: str) -> str:
        """Return a text without the key, as one line of at most 300 characters."""
        shown = "".join(letter if letter.isprintable() else " " for letter in self.hide(text))
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
