"""The proof that every row of a window came, on services that change while they are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pendulum
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from services import ORDERS, Client, Service
from singer_sdk.exceptions import FatalAPIError

from tap_litmos.proof import read_closed, read_open
from tap_litmos.windows import Window

CLOSED = Window(pendulum.datetime(2026, 3, 1), pendulum.datetime(2026, 3, 8))
OPEN = Window(pendulum.datetime(2026, 3, 9), pendulum.datetime(2026, 3, 12), is_open=True)
TODAY = datetime(2026, 3, 10, tzinfo=UTC)


def test_a_window_of_one_page_is_one_request() -> None:
    service = Service()
    service.fill(80, CLOSED.since, CLOSED.to)
    rows = list(read_closed(Client(service, 100).read, CLOSED))
    assert len(rows) == 80
    assert service.requests == 1


services = st.fixed_dictionaries(
    {
        "order": st.sampled_from(ORDERS),
        "seed": st.integers(0, 2**32),
        "cap": st.sampled_from([None, None, None, 100, 130]),
        "hidden": st.sampled_from([0, 0, 0, 0, 15, 100]),
        "repeats": st.sampled_from([False, False, False, True]),
        "reads_days": st.sampled_from([False, False, False, True]),
        "touched": st.sampled_from([0, 0, 1, 3, 20]),
        "added": st.sampled_from([0, 0, 0, 1, 10]),
        "deleted": st.sampled_from([0, 0, 0, 1]),
    }
)
sizes = st.tuples(
    st.integers(0, 3000),
    st.sampled_from([1, 1, 2, 7, 50, 400, 3000]),
    st.sampled_from([100, 250, 1000]),
)


@given(services, sizes)
def test_no_row_that_stays_in_a_closed_window_is_lost(
    habits: dict[str, Any], size: tuple[int, int, int]
) -> None:
    number, tie, limit = size
    service = Service(**habits)
    service.fill(number, CLOSED.since, CLOSED.to, tie)
    before = set(service.window(CLOSED.since, CLOSED.to))
    try:
        came = {row["Id"] for row in read_closed(Client(service, limit).read, CLOSED)}
    except FatalAPIError:
        return
    assume(not service.hid_too_much)
    stayed = before & set(service.window(CLOSED.since, CLOSED.to))
    assert {key for key in stayed if service.shows(key)} <= came


def read_whole(client: Client, window: Window) -> tuple[set[int], bool]:
    """Return the ids of an open window's rows, and whether it counts as proved."""
    came: set[int] = set()
    rows = read_open(client.read, window)
    while True:
        try:
            came.add(next(rows)["Id"])
        except StopIteration as stop:
            return came, stop.value


@given(services, sizes)
def test_no_row_of_an_open_window_is_lost_if_it_counts_as_proved(
    habits: dict[str, Any], size: tuple[int, int, int]
) -> None:
    number, tie, limit = size
    service = Service(**habits)
    service.fill(number, OPEN.since, service.now, tie)
    before, at = dict(service.rows), service.now
    try:
        came, is_proved = read_whole(Client(service, limit), OPEN)
    except FatalAPIError:
        return
    assume(not service.hid_too_much)
    unchanged = {key for key, date in service.rows.items() if before.get(key) == date <= at}
    if is_proved:
        assert {key for key in unchanged if service.shows(key)} <= came


@pytest.mark.parametrize("seed", range(12))
def test_an_open_window_in_any_order_is_proved_while_nothing_changes(seed: int) -> None:
    service = Service(order="random", seed=seed)
    service.fill(500, OPEN.since, service.now)
    came, is_proved = read_whole(Client(service, 100), OPEN)
    assert (len(came), is_proved) == (500, True)


def test_an_open_window_that_can_never_be_proved_is_left_soon() -> None:
    service = Service(order="random", repeats=True, touched=3)
    service.fill(600, OPEN.since, service.now)
    client = Client(service, 100)
    came, is_proved = read_whole(client, OPEN)
    assert (len(came), is_proved) == (600, False)
    assert len(client.readings) < 15


class GrowsOnce(Service):
    """A service to which one row is added while its open window is read again."""

    def churn(self) -> None:
        """Add a row after the twelfth request."""
        self.added = int(self.requests == 12)
        super().churn()


@pytest.mark.parametrize("seed", [0, 2, 5, 19])
def test_a_row_that_was_added_hides_none_that_is_missing(seed: int) -> None:
    service = GrowsOnce(order="random", seed=seed)
    service.fill(250, OPEN.since, service.now, 50)
    before = set(service.rows)
    came, is_proved = read_whole(Client(service, 100), OPEN)
    assert not is_proved or before <= came
