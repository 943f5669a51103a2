"""Chains of syncs of random services, some of them killed: in the end, nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pendulum
import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from services import ORDERS, Client, Service
from singer_sdk.exceptions import FatalAPIError

from tap_litmos.bookmark import Bookmark
from tap_litmos.proof import read_closed, read_open

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_litmos.windows import Window

START = datetime(2026, 3, 1, tzinfo=UTC)

services = st.fixed_dictionaries(
    {
        "order": st.sampled_from(ORDERS),
        "seed": st.integers(0, 2**32),
        "cap": st.sampled_from([None, None, 100, 130]),
        "hidden": st.sampled_from([0, 0, 0, 30]),
        "repeats": st.sampled_from([False, False, False, True]),
        "reads_days": st.booleans(),
        "includes": st.sampled_from([(True, True), (True, False), (False, True)]),
        "zone": st.sampled_from([0, 0, -8, 5.5, 14, -12]),
        "late": st.sampled_from([0, 0, 5]),
    }
)
churns = st.fixed_dictionaries(
    {
        "touched": st.sampled_from([0, 1, 3, 10]),
        "added": st.sampled_from([0, 0, 1, 10]),
        "deleted": st.sampled_from([0, 0, 1]),
    }
)
syncs = st.lists(
    st.tuples(churns, st.floats(0.01, 9), st.one_of(st.none(), st.integers(0, 3000))),
    min_size=1,
    max_size=5,
)


class Warehouse:
    """A target that upserts, and saves the state whenever the tap writes one."""

    def __init__(self, service: Service, limit: int) -> None:
        self.service = service
        self.limit = limit
        self.rows: dict[int, str] = {}
        self.state: dict[str, Any] = {}

    def sync(self, kill_after: int | None = None) -> bool:
        """Sync once; return whether the stream neither failed nor was killed."""
        service, left = self.service, kill_after if kill_after is not None else 10**9
        config = {
            "start_date": START.date().isoformat(),
            "window_days": 7,
            "lookback_hours": 48,
        }
        with time_machine.travel(service.now, tick=False):
            bookmark = Bookmark(
                "UpdatedDate", stream_name="users", tap_state=self.state, state_partitioning_keys=[]
            )
            plan = bookmark.plan(config)
        client = Client(service, self.limit)
        for window in plan:
            first = len(client.readings)
            try:
                rows = self._read(client, window)
                left -= self._write(islice(rows, left))
                if left <= 0:
                    return False
            except FatalAPIError:
                return False
            if self.is_proved:
                requested_at = client.readings[first].requested_at
                assert requested_at is not None
                bookmark.extend(window, requested_at)
            else:
                bookmark.block_at(window)
        return True

    def _read(self, client: Client, window: Window) -> Iterator[dict[str, Any]]:
        self.is_proved = True
        if window.is_open:
            self.is_proved = yield from read_open(client.read, window)
        else:
            yield from read_closed(client.read, window)

    def _write(self, rows: Iterator[dict[str, Any]]) -> int:
        count = 0
        for row in rows:
            self.rows[row["Id"]] = row["UpdatedDate"]
            count += 1
        return count


@given(
    services,
    syncs,
    st.integers(0, 2500),
    st.sampled_from([1, 7, 400]),
    st.sampled_from([100, 1000]),
)
def test_chains_of_syncs_lose_nothing(
    habits: dict[str, Any],
    chain: list[tuple[dict[str, int], float, int | None]],
    number: int,
    tie: int,
    limit: int,
) -> None:
    service = Service(**habits)
    service.fill(number, START + timedelta(days=2), service.now, tie)
    warehouse = Warehouse(service, limit)
    for churn, days, kill_after in chain:
        vars(service).update(churn)
        warehouse.sync(kill_after)
        service.now += timedelta(days=days)
        service.churn()  # while nobody reads
    vars(service).update(touched=0, added=0, deleted=0)
    for _ in range(2):  # the second one reads as closed what the first one read as open
        service.now += timedelta(days=4)
        if not warehouse.sync():
            return  # it failed, and said so
    ahead = timedelta(hours=service.zone)
    truth = {
        key: f"{at + ahead:%Y-%m-%dT%H:%M:%S.%f}Z"
        for key, at in service.rows.items()
        if service.shows(key)
    }
    lost = {key: at for key, at in truth.items() if warehouse.rows.get(key) != at}
    assert not lost


@pytest.mark.parametrize(("pages", "touched"), [(8, 5), (4, 20)])
@pytest.mark.parametrize("order", ["oldest", "newest", "id", "shuffled ties"])
def test_a_busy_open_window_is_not_read_for_ever(order: str, pages: int, touched: int) -> None:
    service = Service(order=order, touched=touched)
    service.fill(500 * pages, pendulum.instance(service.now).start_of("day"), service.now)
    warehouse = Warehouse(service, 500)
    warehouse.sync()
    assert service.requests <= 30
    service.touched = 0
    service.now += timedelta(days=4)
    assert warehouse.sync()
    assert set(warehouse.rows) == set(service.rows)


def test_a_window_that_grows_as_fast_as_it_is_read_ends() -> None:
    service = Service(added=2000)
    service.fill(3000, service.now - timedelta(hours=10), service.now)
    warehouse = Warehouse(service, 1000)
    assert warehouse.sync()
    at_first = 5  # pages: 3 of them, and what was added by the request before
    assert service.requests <= 1 + 2 * at_first + 10
    assert not warehouse.is_proved
