"""Hides the API key in all that is logged: messages, tracebacks, and structured fields.

A service may send the key back, and libraries quote settings that are not valid.
"""

from __future__ import annotations

import logging
from typing import Any

from typing_extensions import override

MIN_LENGTH = 8
"""A shorter key is no key of Litmos, and could be part of any text."""


class HideKey(logging.Filter):
    """Replaces the key in log records."""

    def __init__(self, key: str) -> None:
        """Take the key to hide."""
        super().__init__()
        self._key = key

    def hide(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self._key, "***")

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if self._key in (message := record.getMessage()):
            record.msg, record.args = self.hide(message), None
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            if self._key in trace:
                record.exc_info, record.exc_text = None, self.hide(trace)
        return True


def hide_key(key: Any) -> None:
    """Hide a key, if it is one, in all that is logged from now on."""
    if not isinstance(key, str) or len(key) < MIN_LENGTH:
        return
    root = logging.getLogger()
    for logger in (root, *map(logging.getLogger, list(root.manager.loggerDict))):
        for handler in logger.handlers:  # a configuration may give each logger its own
            handler.addFilter(HideKey(key))
