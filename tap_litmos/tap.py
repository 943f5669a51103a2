"""The tap: its command line, its streams, and what all streams of a run share."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

import click
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.metrics import METRICS_LOGGER_NAME
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_litmos import settings
from tap_litmos.bookmark import bookmarks_in
from tap_litmos.client import ListingStream, LitmosStream
from tap_litmos.errors import RunFailedError
from tap_litmos.output import Writer
from tap_litmos.progress import log_progress
from tap_litmos.rate import RateLimit
from tap_litmos.readers import Readers
from tap_litmos.redact import hide_key
from tap_litmos.session import LitmosSession
from tap_litmos.streams import ENDPOINTS, SYNC_LOG
from tap_litmos.summary import Summary
from tap_litmos.sync_log import SyncLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from singer_sdk import Stream


class TapLitmos(Tap):
    """Singer tap for the date-range endpoints of the Litmos learning management system."""

    name = "tap-litmos"
    package_name = "tap-litmos"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.SETTINGS
    message_writer_class = Writer
    minute: ClassVar[float] = 60.0
    """How long a minute takes, in seconds; tests shorten it."""

    is_interactive = False
    """True for `--test` and `--check`: give up sooner."""

    def __init__(self, *, config: Any = None, validate_config: bool = True, **kwargs: Any) -> None:
        """Check the settings; the arguments are those of the SDK.

        Raises:
            ConfigValidationError: If a setting is not valid.
        """
        config = {name: value for name, value in (config or {}).items() if value is not None}
        hide_key(config.get("api_key"))
        if not validate_config:  # discovery needs neither
            config = {"api_key": "-", "start_date": "2000-01-01", **config}
        metrics = logging.getLogger(METRICS_LOGGER_NAME)
        wants_metrics = metrics.level != logging.NOTSET or "LOGLEVEL" in os.environ
        try:
            super().__init__(config=config, validate_config=validate_config, **kwargs)
            errors = list(settings.broken_rules(self.config)) if validate_config else []
        except ConfigValidationError as error:
            errors = error.errors
        if errors:
            text = "Invalid setting: {} (set it in --config, or as TAP_LITMOS_… in the environment)"
            told = list(map(text.format, errors))
            raise ConfigValidationError("Config validation failed", errors=told, schema={})
        if not wants_metrics:
            metrics.setLevel(logging.WARNING)

    @override
    def discover_streams(self) -> Sequence[Stream]:
        streams = [
            (ListingStream if endpoint.is_listing else LitmosStream)(self, endpoint)
            for endpoint in ENDPOINTS
            if self.config.get("detect_deletes") or not endpoint.is_listing
        ]
        return [*streams, SyncLog(self)]

    @property
    def litmos_streams(self) -> list[LitmosStream]:
        """The selected streams that are read from Litmos, in the order of a sync."""
        streams = self.streams.values()
        return [s for s in streams if isinstance(s, LitmosStream) and s.selected]

    # What all streams share

    @cached_property
    def session(self) -> LitmosSession:
        """The one HTTP session of the run, with its rate limit."""
        config = self.config
        rate = RateLimit(
            config["requests_per_minute"],
            file=config.get("rate_limit_file"),
            key=config["api_key"],
            min_burst=len(ENDPOINTS),  # what an up-to-date sync needs
            minute=self.minute,
        )
        connections = config["max_concurrent_requests"]
        return LitmosSession(settings.base_url(config), rate, connections=connections)

    @cached_property
    def readers(self) -> Readers:
        """The windows of all selected streams, some of them read ahead of their turn."""
        plan = {stream: stream.windows for stream in self.litmos_streams}
        return Readers(plan, self.config["max_concurrent_requests"])

    @cached_property
    def summary(self) -> Summary:
        """What was read so far."""
        return Summary(self.logger)

    @property
    def sync_log(self) -> SyncLog:
        """The stream of what was read."""
        return cast("SyncLog", self.streams[SYNC_LOG.stream])

    # State and catalog

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        bookmarks = bookmarks_in(state)
        known = {SYNC_LOG.stream, *(endpoint.stream for endpoint in ENDPOINTS)}
        if unknown := sorted(bookmarks.keys() - known):
            self.logger.warning("Unknown streams in the state ignored: %.200s", unknown)
        super().load_state({"bookmarks": {n: bookmarks[n] for n in bookmarks if n in known}})

    @override
    def setup_mapper(self) -> None:
        catalog = self.input_catalog
        if catalog is not None:
            if unknown := sorted(catalog.keys() - self.streams.keys()):
                self.logger.warning("Unknown streams in the catalog ignored: %.200s", unknown)
            for name in self.streams.keys() - catalog.keys():
                if isinstance(stream := self.streams[name], ListingStream):
                    # A catalog from before `detect_deletes` was set.
                    entry = Catalog.from_dict(self.catalog_dict)[name]
                    entry.metadata.root.selected = stream.selected = True
                    catalog.add_stream(entry)
        super().setup_mapper()
        for stream in self.litmos_streams:
            if all(isinstance(target, RemoveRecordTransform) for target in stream.stream_maps):
                stream.selected = False  # its rows would be dropped, and its bookmark move

    # The sync

    @override  # type: ignore[misc] # final in the SDK, which offers no hook around a sync
    def sync_all(self) -> None:
        """Sync all selected streams; a stream that fails does not stop the others.

        Raises:
            RunFailedError: If rows may be missing.
        """
        chosen = self.litmos_streams
        self.logger.info("Reading %d windows of %d streams", self.readers.windows_left, len(chosen))
        with log_progress(self):
            super().sync_all()
        self.message_writer.flush()  # type: ignore[attr-defined]
        verdict = "Sync incomplete"
        if self.is_interactive:
            failed = [stats for stats in self.summary.streams.values() if stats.failure]
            verdict = f"{len(chosen) - len(failed)} of {len(chosen)} endpoints answer"
        else:
            self.summary.close(self.session.rate.slowdowns)
        if problem := self.summary.problem:
            raise RunFailedError(f"{verdict}: {problem}")
        if self.is_interactive:
            self.logger.info("%s; ready to sync", verdict)

    def stream_failed(self, stream: LitmosStream, failure: str) -> None:
        """Record that a stream failed; the others go on.

        Raises:
            RunFailedError: If a second one fails before the host has answered at all.
        """
        failure = failure.replace(self.config["api_key"], "***")  # a field of structured logs
        self.summary.of(stream.name).failure = failure
        failures = [stats for stats in self.summary.streams.values() if stats.failure]
        if len(failures) > 1 and not self.session.has_answered:
            raise RunFailedError(f"{settings.base_url(self.config)} does not answer: {failure}")
        self.logger.error("%s failed: %s", stream.name, failure)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # The SDK would write a STATE, maybe in the middle of a message, and exit with status 0.
        signal.signal(signum, signal.SIG_DFL)  # a second signal ends a process that hangs
        raise SystemExit(128 + signum)

    # The command line

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        for param in command.params:
            if param.name in {"state", "catalog"}:
                param.type = _JSONFile()
            param.is_eager = param.is_eager or param.name == "catalog"  # `--test` needs it
        check = click.Option(["--check"], is_flag=True, expose_value=False, callback=cls.cb_check)
        check.help = "Check with at most 150 requests that the account behaves as the tap assumes."
        command.params.append(check)
        return command

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        """Read the settings from files; the environment fills in what they leave out."""
        schema = dict(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        given = super().cb_config(ctx, param, ())
        given.config |= settings.from_environment(os.environ, schema)
        for path in value:
            if path != "ENV":
                given.config |= _read_json(path, "--config")
        for warning in settings.warnings(given.config, schema):
            cls.logger.warning("%s", warning)
        return given

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        catalog = ctx.params.get("catalog")
        loaded = json.loads(catalog.read()) if catalog else None
        tap = cls(config=ctx.params["config"].config, catalog=loaded)
        tap.is_interactive = True
        for stream in tap.litmos_streams:
            stream.ABORT_AT_RECORD_COUNT = 1
        tap.sync_all()
        ctx.exit()

    @classmethod
    def cb_check(cls, ctx: click.Context, _: click.Option, value: bool) -> None:  # noqa: FBT001
        """Check whether the account behaves as the tap assumes."""
        if not value:
            return
        from tap_litmos.check import run_check  # noqa: PLC0415 - no sync needs it

        tap = cls(config=ctx.params["config"].config)
        tap.is_interactive = True
        ctx.exit(run_check(tap))


class _JSONFile(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A JSON file; the SDK reads its text."""

    name = "filename"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> IO[str]:
        return io.StringIO(json.dumps(_read_json(value, param.opts[0] if param else "")))


def _read_json(path: str, option: str) -> dict[str, Any]:
    """Return the object in a file, which may be UTF-8 or UTF-16, with or without BOM.

    Of several lines of JSON, as a target prints them, the last one counts.

    Raises:
        RunFailedError: If there is none.
    """
    if path.lstrip().startswith("{"):  # it may hold the key
        raise RunFailedError(f"{option} takes the path of a file, not its content")
    try:
        data = Path(path).read_bytes()
        text = data.decode(json.detect_encoding(data)).strip()
        if not text and option == "--state":
            TapLitmos.logger.warning("%s is empty: starting from the beginning", path)
            return {}
        try:
            content = json.loads(text)
        except ValueError:
            content = json.loads(text.splitlines()[-1] if text else text)
    except (OSError, ValueError, RecursionError) as error:
        raise RunFailedError(f"Cannot read {option} {path}: {error}") from None
    if not isinstance(content, dict):
        raise RunFailedError(f"{option} {path} is not a JSON object")
    if option == "--catalog":
        with suppress(KeyError, TypeError, AttributeError):
            if Catalog.from_dict(content):
                return content
        raise RunFailedError(f"{path} is not a catalog; --discover prints one")
    return content
