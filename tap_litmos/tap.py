"""The tap: its settings, and which streams there are."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any, ClassVar

import pendulum
from singer_sdk import Tap
from typing_extensions import override

from tap_litmos import settings
from tap_litmos.bookmark import bookmarks_in
from tap_litmos.client import ListingStream, LitmosStream
from tap_litmos.errors import RunFailedError
from tap_litmos.rate import MINUTE
from tap_litmos.run import Run
from tap_litmos.streams import ENDPOINTS, SYNC_LOG
from tap_litmos.sync_log import SyncLog
from tap_litmos.transport import Transport
from tap_litmos.windows import parse_moment
from tap_litmos.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pendulum import DateTime

    from tap_litmos.client import DeclaredStream
    from tap_litmos.declaration import Endpoint


class TapLitmos(Tap):
    """Singer tap for the date-range endpoints of the Litmos learning management system."""

    name = "tap-litmos"
    package_name = "tap-litmos"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.SETTINGS
    minute: ClassVar[float] = MINUTE
    """How long a minute takes, in seconds; tests shorten it."""

    @override
    def discover_streams(self) -> Sequence[DeclaredStream]:
        sync_log = SyncLog(self)  # a stream of its own: a row for each window read
        streams = [
            (ListingStream if endpoint.is_listing else LitmosStream)(self, endpoint, sync_log)
            for endpoint in ENDPOINTS
            if self.config.get("detect_deletes") or not endpoint.is_listing
        ]
        return [*streams, sync_log]

    @property
    def litmos_streams(self) -> list[LitmosStream]:
        """All streams that are read from Litmos, in the order of a sync."""
        return [stream for stream in self.streams.values() if isinstance(stream, LitmosStream)]

    @override
    def setup_mapper(self) -> None:
        # The mapper registers the catalog's streams, so the catalog is corrected before.
        catalog = self.input_catalog
        if catalog is not None:
            for unknown in sorted(catalog.keys() - self.streams.keys()):
                self.logger.warning(
                    "Unknown stream %.100r in the catalog ignored%s",
                    unknown,
                    did_you_mean(unknown, self.streams),
                )
                del catalog[unknown]
            for name, entry in catalog.items():
                if entry.stream not in (None, name):  # which may be a list
                    self.logger.warning(
                        "%s: its other name in the catalog, %.100r, ignored; stream_maps can "
                        "rename a stream",
                        name,
                        entry.stream,
                    )
                entry.stream = name
            for stream in self.litmos_streams:
                if isinstance(stream, ListingStream):
                    stream.select_in(catalog)
        try:
            super().setup_mapper()
        except Exception as error:  # noqa: BLE001 - the SDK checks only part of them
            raise RunFailedError(
                f"Setting 'stream_maps' cannot be used ({type(error).__name__}: {error})"
            ) from None
        self._check_maps()

    def _check_maps(self) -> None:
        """Warn of stream maps for no stream, and refuse keys that are not in the schema."""
        for name, given in self.config.get("stream_maps", {}).items():
            source = given.get("__source__", name) if isinstance(given, dict) else name
            if source != "__else__" and not fnmatch.filter(self.streams, source):
                self.logger.warning(
                    "Stream map of the unknown stream %.100r ignored%s",
                    source,
                    did_you_mean(source, self.streams),
                )
        for stream in self.streams.values():
            for each in stream.stream_maps if stream.selected else ():
                keys = set(each.transformed_key_properties or ())
                if missing := keys - each.transformed_schema["properties"].keys():
                    raise RunFailedError(
                        f"{stream.name}: flattening renames the key "
                        f"{', '.join(sorted(missing))}. "
                        "Raise flattening_max_key_length, or leave it out"
                    )

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        # The sync log has no bookmark, but a target may have saved an entry for it.
        known = [declaration.stream for declaration in (*ENDPOINTS, SYNC_LOG)]
        bookmarks, unknown = bookmarks_in(state, known)
        for name in unknown:
            self.logger.warning(
                "Unknown stream %.100r in the state ignored%s", name, did_you_mean(name, known)
            )
        super().load_state({"bookmarks": bookmarks})

    def transport(self, endpoints: Sequence[Endpoint], *, fail_fast: bool) -> Transport:
        """Return a transport for the account; the arguments are those of `Transport`."""
        return Transport(self.config, endpoints, fail_fast=fail_fast, minute=self.minute)

    def prepare_run(self) -> Run:
        """Plan a sync of the selected streams, and hand the run to them."""
        now = pendulum.now("UTC")
        self._warn_of_end_after_midnight(now)
        selected = [stream for stream in self.litmos_streams if stream.selected]
        plan = {stream.endpoint: stream.plan(now) for stream in selected}
        is_test = any(stream.is_test for stream in selected)  # `--test`: one record is enough
        # It takes all endpoints: where one is silent, it asks another whether the host answers.
        transport = self.transport([*plan], fail_fast=is_test)
        run = Run(self.config, plan, transport, logger=self.logger, is_test=is_test)
        for stream in selected:
            stream.run = run
        return run

    def _warn_of_end_after_midnight(self, now: DateTime) -> None:
        """Warn of an `end_date` after today's midnight (UTC).

        Up to an `end_date` only closed windows are read, so today's midnight is the last end.
        """
        end = self.config.get("end_date")
        if end and parse_moment(end) > now.start_of("day"):
            self.logger.warning(
                "end_date is later than 00:00 UTC today, where the sync stops at the latest; "
                "leave it out to read up to now"
            )
