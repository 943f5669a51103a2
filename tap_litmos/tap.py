"""The tap: which streams there are, and the course of a run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar

import pendulum
from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.exceptions import (
    ConfigValidationError,
    MapExpressionError,
    StreamMapConfigError,
)
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.plugin_base import SingerCommand, _ConfigInput
from singer_sdk.singerlib import Catalog, RecordMessage
from typing_extensions import override

from tap_litmos import settings
from tap_litmos.client import LitmosStream
from tap_litmos.errors import RunFailedError
from tap_litmos.fetcher import Fetcher, Job
from tap_litmos.progress import Progress, duration
from tap_litmos.streams import ENDPOINTS
from tap_litmos.summary import RunSummary
from tap_litmos.transport import Transport
from tap_litmos.windows import page_limit, parse_moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    import click
    from singer_sdk.singerlib.encoding.simple import Message

    from tap_litmos.windows import Window

_FILES = {
    "--state": "the value of the last STATE message that the target has taken",
    "--catalog": "what --discover prints",
}

_Validator = th.extend_validator_with_defaults(th.DEFAULT_JSONSCHEMA_VALIDATOR)


class _StoppedError(SystemExit):
    """A signal ended the run; the code is 128 and the signal's number."""


class _Writer(MsgSpecWriter):
    """Writes messages to stdout, and flushes after all but records."""

    @override
    def write_message(self, message: Message) -> None:
        try:
            line = self.format_message(message)
            # Where Python runs unbuffered, a signal may cut a write short.
            while line:
                line = line[sys.stdout.buffer.write(line) :]
            if not isinstance(message, RecordMessage):
                sys.stdout.flush()
        except BrokenPipeError:
            raise RunFailedError(
                "The target has closed the pipe: see its own messages. The next sync goes on "
                "from the last state that it has taken"
            ) from None


class _Command(SingerCommand):
    """The command line: ends with one line, not a traceback, where the tap knows why."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except _StoppedError:
            _silence_stdout()
            raise
        except (RunFailedError, MapExpressionError, StreamMapConfigError) as error:
            lines = str(error).splitlines()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        _silence_stdout()
        for line in lines:
            self.logger.critical("%s", line)
        sys.exit(1)


class TapLitmos(Tap):
    """Singer tap for the date-range endpoints of the Litmos learning management system."""

    name = "tap-litmos"
    package_name = "tap-litmos"
    message_writer_class = _Writer
    config_jsonschema: ClassVar[dict[str, Any]] = settings.SETTINGS

    # Settings

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self._config = {
            name: value for name, value in self._config.items() if value is not None
        }
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        found = map(settings.describe, _Validator(schema).iter_errors(self._config))
        errors = list(dict.fromkeys(found))
        if not raise_errors:
            return errors
        errors = errors or list(settings.broken_rules(self._config, pendulum.now("UTC")))
        if errors:
            raise ConfigValidationError("The config is not valid", errors=errors, schema=schema)
        for name in self._config.keys() - schema["properties"].keys():
            self.logger.warning("There is no setting %.50r; it is ignored", name)
        return []

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805 - a class property
        """Return the settings in the environment, typed where they are well-formed."""
        schema: dict[str, Any] = dict(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        properties = schema["properties"]
        typed = {"integer": _whole_number, "boolean": _flag}
        casts = {
            name: cast
            for name, each in properties.items()
            for kind, cast in typed.items()
            if kind in each["type"]
        }
        texts = {
            name: {"type": "string"} if name in casts else each
            for name, each in properties.items()
        }
        found = parse_environment_config({"properties": texts}, cls._env_var_prefix)
        return {
            name: casts[name](value) if name in casts else value
            for name, value in found.items()
        }

    # Streams, catalog and state

    @override
    def discover_streams(self) -> Sequence[LitmosStream]:
        return [
            LitmosStream(self, endpoint)
            for endpoint in ENDPOINTS
            if self.config.get("detect_deletes") or not endpoint.is_listing
        ]

    @property
    def litmos_streams(self) -> list[LitmosStream]:
        """All streams, in the order of a sync."""
        return [each for each in self.streams.values() if isinstance(each, LitmosStream)]

    @override
    def setup_mapper(self) -> None:
        catalog = self.input_catalog
        if catalog is not None:
            for unknown in sorted(catalog.keys() - self.streams.keys()):
                self.logger.warning(
                    "The catalog's stream %.100r is not known, and is ignored", unknown
                )
                del catalog[unknown]
            for stream in self.litmos_streams:
                if stream.endpoint.is_listing:
                    stream.select_in(catalog)
        super().setup_mapper()

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        bookmarks = state.get("bookmarks", {}) if isinstance(state, dict) else None
        well_formed = isinstance(bookmarks, dict) and all(
            isinstance(each, dict) for each in bookmarks.values()
        )
        if not well_formed or (state and "bookmarks" not in state):
            raise RunFailedError(
                f"The state is no Singer state: it must be {_FILES['--state']}, such as "
                '{"bookmarks": {"users": {"replication_key": …, "replication_key_value": …}}}'
            )
        known = {endpoint.stream for endpoint in ENDPOINTS}
        unknown = sorted(set(bookmarks) - known)
        if unknown and not known & set(bookmarks):
            raise RunFailedError(
                f"The state is another tap's: it has bookmarks of {', '.join(unknown)[:200]} "
                "only. Give tap-litmos its own state, or none"
            )
        for name in unknown:
            self.logger.warning("The state's stream %.100r is not known, and is ignored", name)
        ours = ("replication_key", "replication_key_value")
        for name, each in bookmarks.items():
            bookmarks[name] = {key: value for key, value in each.items() if key in ours}
        super().load_state(state)

    # The course of a run

    @cached_property
    def account(self) -> RunSummary:
        """What was read."""
        return RunSummary(self.logger)

    @cached_property
    def plan(self) -> dict[str, Sequence[Window | None]]:
        """For each stream of this run the windows to read, in the order of the sync."""
        now = pendulum.now("UTC")
        end = self.config.get("end_date")
        if end and parse_moment(end) > now.start_of("day"):
            self.logger.warning(
                "end_date is later than today's first moment (UTC), at which the sync stops; "
                "leave it out to read up to now"
            )
        return {
            stream.name: stream.plan(now) for stream in self.litmos_streams if stream.selected
        }

    @cached_property
    def fetcher(self) -> Fetcher:
        """What fetches the pages of this run."""
        config = self.config
        transport = Transport(
            api_url=settings.base_url(config),
            api_key=config["api_key"],
            source=config["source"],
            requests_per_minute=config["requests_per_minute"],
            connections=config["max_concurrent_requests"],
            timeout=config["request_timeout"],
            paths=[each.endpoint.path for each in self.litmos_streams if each.selected],
            rate_limit_file=config.get("rate_limit_file"),
            patience=0.25 if any(each.is_test for each in self.litmos_streams) else 1.0,
        )
        jobs = [
            Job(each.endpoint, self.plan[each.name], each.account, one_page=each.is_test)
            for each in self.litmos_streams
            if each.name in self.plan
        ]
        return Fetcher(
            transport,
            jobs,
            limit=page_limit(config["page_size"]),
            concurrency=config["max_concurrent_requests"],
        )

    @cached_property
    def progress(self) -> Progress:
        """Where the sync is."""
        return Progress(
            self.account,
            requests_per_minute=self.config["requests_per_minute"],
            requests_left=self.fetcher.requests_left,
            logger=self.logger,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Close what a run has opened, account for it, and fail if it was no full success.

        Raises:
            RunFailedError: If a stream failed, or rows were left out.
        """
        self._announce()
        try:
            with self.progress:
                yield
        finally:
            self.fetcher.close()
            self.account.close()
        if self.account.problems:
            raise RunFailedError(
                "Not everything was synced: " + "; ".join(self.account.problems)
            )

    def _announce(self) -> None:
        """Log what there is to do, and how long it takes at least."""
        windows = sum(map(len, self.plan.values()))
        rate = self.config["requests_per_minute"]
        if not self.plan:
            self.logger.warning("The catalog selects no stream; there is nothing to sync")
        self.logger.info(
            "Plan: %d streams, %d windows; at least %d requests and %s at %d requests a minute",
            len(self.plan),
            windows,
            windows,
            duration(60 * (max(windows - 1, 0) // rate)),
            rate,
        )

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End the run. No STATE is written here: each window's was, when it was finished."""
        signal.signal(signum, signal.SIG_DFL)
        raise _StoppedError(128 + signum)

    # The command line

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return _Command(
            name=command.name,
            callback=command.callback,
            help=command.help,
            params=command.params,
            context_settings=command.context_settings,
            logger=cls.logger,
        )

    @classmethod
    @override
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> _ConfigInput:
        """Read the config; without `--config` the environment's."""
        if any("{" in each for each in value):
            raise RunFailedError(
                "--config takes the path of a JSON file, not its content, in which others "
                "could see the key"
            )
        try:
            return _ConfigInput.from_cli_args(*(value or ("ENV",)))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise RunFailedError(
                f"--config {' '.join(value)} cannot be read: {error}"
            ) from None

    @classmethod
    def _from_command_line(
        cls,
        config: _ConfigInput | None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> TapLitmos:
        config = config or _ConfigInput()
        try:
            return cls(
                config=config.config,
                state=_read_json("--state", state),
                catalog=_read_catalog(catalog),
                parse_env_config=config.parse_env,
            )
        except ConfigValidationError as error:
            raise RunFailedError("\n".join(error.errors)) from None

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value != "all":
            super().cb_test(ctx, param, value)
            return
        tap = cls._from_command_line(ctx.params.get("config"))
        streams = [stream for stream in tap.litmos_streams if stream.selected]
        for stream in streams:
            stream.ABORT_AT_RECORD_COUNT = 1
        with tap.running():
            tap.run_sync_dry_run(streams=streams)
        ctx.exit()

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the command line."""
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        tap = cls._from_command_line(config, state, catalog)
        with tap.running():
            tap.sync_all()


def _read_json(option: str, file: IO[str] | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise RunFailedError(
            f"{option} {file.name} is no JSON ({error}): it must hold {_FILES[option]}"
        ) from None
    if not isinstance(content, dict):
        raise RunFailedError(
            f"{option} {file.name} is no JSON object: it must hold {_FILES[option]}"
        )
    return content


def _read_catalog(file: IO[str] | None) -> Catalog | None:
    content = _read_json("--catalog", file)
    if file is None or content is None:
        return None
    try:
        if content["streams"]:
            return Catalog.from_dict(content)
        reason = "it lists no streams"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = repr(error)
    raise RunFailedError(
        f"--catalog {file.name} is no Singer catalog ({reason:.100}): --discover prints one"
    )


def _whole_number(text: str) -> int | str:
    """Return a whole number, or the text if it is none, for the rules to refuse."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text  # noqa: PLR2004


def _flag(text: str) -> bool | str:
    """Return a boolean, or the text if it is none, for the rules to refuse."""
    flags = {"true": True, "1": True, "yes": True, "on": True}
    flags |= {"false": False, "0": False, "no": False, "off": False}
    return flags.get(text.lower(), text)


def _silence_stdout() -> None:
    """Write what is in the buffer if there is room for it, and let the rest go nowhere.

    Nobody may be there to take it: a run that is stopped does not wait for that.
    """
    with contextlib.suppress(OSError, ValueError):
        output = sys.stdout.fileno()
        os.set_blocking(output, False)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os.set_blocking(output, True)
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), output)
