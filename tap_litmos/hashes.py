"""The hashes of rows, which tell how many different ones came. They take hardly any memory."""

from __future__ import annotations

import contextlib
import io
import tempfile
import weakref
from array import array
from heapq import merge
from itertools import groupby, islice
from typing import IO, TYPE_CHECKING

from tap_litmos.errors import RunFailedError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

IN_MEMORY = 1 << 20
"""Bytes of hashes that are kept in memory, 8 each; where they are more, all go to a file."""

_AT_ONCE = 250_000
"""How many hashes to hold at once, 8 bytes each, to see which of them are different."""

_RUN = 10_000
"""How many of them to sort at once. Sorted runs in arrays take an eighth of a set's memory."""


class Hashes:
    """The hashes of values, in the order in which these came; in a file if they are many."""

    def __init__(self) -> None:
        """Begin without hashes."""
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed below
        self._length = 0
        weakref.finalize(self, _close, self._file)

    def extend(self, values: Iterable[Hashable]) -> None:
        """Add the hashes of values.

        Raises:
            RunFailedError: If a temporary file is needed and cannot be written.
        """
        hashes = array("q", map(hash, values))
        try:
            self._file.seek(0, io.SEEK_END)
            self._file.write(hashes.tobytes())
            self._file.flush()  # here, and not where it is read, a full disk shows
        except OSError as error:
            raise RunFailedError(
                f"Cannot write a temporary file, which a window of many rows needs: {error}. "
                "Free some space, or let TMPDIR name a folder that has some"
            ) from None
        self._length += len(hashes)

    def __len__(self) -> int:
        """Return how many hashes there are."""
        return self._length

    def __iter__(self) -> Iterator[int]:
        """Yield the hashes; nothing may be added or iterated anew meanwhile."""
        self._file.seek(0)
        while chunk := self._file.read(1 << 16):
            yield from array("q", chunk)


def _close(file: IO[bytes]) -> None:
    """Close a file that is needed no longer; on a full disk, what it did not write is lost."""
    with contextlib.suppress(OSError):
        file.close()


def distinct(*hashes: Hashes, of: int = 1) -> int:
    """Return how many different hashes at least `of` of several `Hashes` have."""
    parts = 1 + sum(map(len, hashes)) // _AT_ONCE
    count = 0
    for part in range(parts):
        # Split by value, so that equal hashes meet.
        each_once = [
            _sorted(value for value in each if value % parts == part) for each in hashes
        ]
        met = groupby(merge(*each_once))
        count += sum(len(list(same)) >= of for _, same in met)
    return count


def _sorted(hashes: Iterator[int]) -> Iterator[int]:
    """Yield different hashes, the smallest first."""
    runs: list[array[int]] = []
    while run := array("q", sorted(islice(hashes, _RUN))):
        runs.append(run)
    return (value for value, _ in groupby(merge(*runs)))
