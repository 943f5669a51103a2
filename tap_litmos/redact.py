"""Hides the API key in whatever comes from outside, and in all that is logged."""

from __future__ import annotations

import html
import json
import logging
import re
from os.path import commonprefix
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters of the shortest piece of the key that is hidden, as a text may hold only a part of
it. A shorter one could stand in any text."""

SHORTEST_AT_END = 4
"""The same for the beginning of the key, at the end of a text that was cut off."""

_LONGEST = 300
"""Characters of a text from outside that are shown."""


class RedactKey(logging.Filter):
    """Replaces the key in all its spellings, whole or in part; a handler never logs it then."""

    def __init__(self, key: str) -> None:
        """Take the key to hide."""
        super().__init__()
        as_texts = (key, repr(key)[1:-1], json.dumps(key)[1:-1], html.escape(key))
        spellings = {*as_texts, quote(key, safe=""), quote_plus(key)}
        self._spellings = [spelling.lower() for spelling in spellings]
        parts = {
            re.escape(spelling[at : at + SHORTEST])
            for spelling in self._spellings
            for at in range(max(1, len(spelling) - SHORTEST + 1))
        }
        self._part = re.compile("|".join(sorted(parts)), re.IGNORECASE | re.ASCII)
        begun = {
            re.escape(spelling[:length])
            for spelling in self._spellings
            for length in range(SHORTEST_AT_END, min(SHORTEST, len(spelling)))
        }
        self._begun = re.compile(
            rf"(?:{'|'.join(begun)})\Z" if begun else r"(?!)", re.IGNORECASE
        )

    def install(self) -> None:
        """Hide the key in all that is logged from now on."""
        root = logging.getLogger()
        for logger in (root, *map(logging.getLogger, list(root.manager.loggerDict))):
            for handler in logger.handlers:  # a configuration may give each logger its own
                handler.addFilter(self)

    def hide(self, text: str, *, cut: bool = False) -> str:
        """Return a text without the key, and without longer parts of it.

        Args:
            text: Any text.
            cut: Whether the text was cut off, so that it may end with a part of the key.
        """
        shown, at = "", 0
        while found := self._part.search(text, at):
            shown += f"{text[at : found.start()]}***"
            at = found.start() + self._length_at(text[found.start() :])
        shown += text[at:]
        return self._begun.sub("***", shown) if cut else shown

    def _length_at(self, text: str) -> int:
        """Return how many characters of the key stand at the beginning of a text."""
        longest = max(map(len, self._spellings))
        text = text[:longest].lower()
        return max(
            len(commonprefix([text, spelling[at:]]))
            for spelling in self._spellings
            for at in range(len(spelling))
        )

    def one_line(self, text: str, *, cut: bool = False) -> str:
        """Return a text as one line of at most 300 characters; otherwise as `hide` does."""
        hidden = self.hide(text, cut=cut)
        shown = "".join(letter if letter.isprintable() else " " for letter in hidden)
        return " ".join(shown.split())[:_LONGEST]

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide the key in a log record: its message, its traceback, whatever is extra."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's mistake must not end the run
            message = f"{record.msg} {record.args}"
            record.msg, record.args = message, None
        if (hidden := self.hide(message)) != message:
            record.msg, record.args = hidden, None
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            if (hidden := self.hide(trace)) != trace:
                record.exc_info, record.exc_text = None, hidden
        for name, value in vars(record).items():
            setattr(record, name, self._hide_in(value))
        return True

    def _hide_in(self, value: Any) -> Any:
        """Return a value of a log record without the key, however deep it stands."""
        if isinstance(value, str):
            return self.hide(value)
        if type(value) is dict:
            return {self._hide_in(name): self._hide_in(each) for name, each in value.items()}
        if type(value) in {list, tuple}:
            return type(value)(map(self._hide_in, value))
        return value
