"""How many different rows came: right for few and for many, which go to a temporary file."""

from __future__ import annotations

import pytest

from tap_litmos.hashes import Hashes, distinct

MANY = 260_000


@pytest.mark.parametrize("count", [0, 1, 999, MANY])
def test_hashes_keep_their_order_and_number(count: int) -> None:
    hashes, others = Hashes(), Hashes()
    for begin in range(0, count, 10_000):
        hashes.extend(range(begin, min(begin + 10_000, count)))
        assert next(iter(hashes)) == 0  # reading a part does not disturb what is added later
    others.extend([*range(count // 2), -7, -7])
    assert list(hashes) == list(range(count))
    assert len(hashes) == distinct(hashes) == count
    assert distinct(others) == count // 2 + 1
    assert distinct(hashes, others) == distinct(hashes, others, hashes) == count + 1


def test_what_several_have_in_common_is_counted_once_for_each() -> None:
    many, some, few = Hashes(), Hashes(), Hashes()
    many.extend([*range(MANY), 5, 5])
    some.extend(range(10, MANY, 2))
    few.extend([5, 12, -7, -7])
    assert distinct(many, some, few, of=1) == MANY + 1
    assert distinct(many, some, few, of=2) == MANY // 2 - 5 + 1
    assert distinct(many, some, few, of=3) == 1
