"""The command line: files and environment in, messages on stdout, the exit status."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import IO, Any

import click
from singer_sdk.plugin_base import SingerCommand
from singer_sdk.singerlib import Catalog
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_litmos import log, settings
from tap_litmos.errors import RunFailedError, StoppedError
from tap_litmos.output import Writer
from tap_litmos.redact import RedactKey
from tap_litmos.streams import ENDPOINTS
from tap_litmos.tap import TapLitmos
from tap_litmos.wording import FILES


@dataclass(slots=True)
class ConfigInput:
    """What `--config` gave, in the shape that the SDK's own options expect."""

    config: dict[str, Any] = field(default_factory=dict)
    parse_env: bool = False


class Command(SingerCommand):
    """The command line: ends with one line, not a traceback, where the tap knows why."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except StoppedError as stop:
            _silence_stdout()
            self.logger.warning("%s", stop.message)
            raise
        except RunFailedError as error:
            _silence_stdout()
            for line in str(error).splitlines():
                self.logger.critical("%s", line)
            sys.exit(1)
        except OSError as error:  # stdout does not take what `--discover` or `--about` prints
            _silence_stdout()
            self.logger.critical("Cannot write to stdout: %s", error)
            sys.exit(1)


class CommandLineTap(TapLitmos):
    """Singer tap for the Litmos learning management system."""

    # The docstring is the text of --help.

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        log.simplify()
        command = super().get_singer_command()
        for param in command.params:
            # The callback of --test needs --catalog.
            param.is_eager = param.is_eager or param.name == "catalog"
        command.params.append(
            click.Option(
                ["--check"],
                is_flag=True,
                help="Check with at most 150 requests whether the account behaves as the tap "
                "assumes; a table goes to stderr, JSON to stdout.",
                callback=cls.cb_check,
                expose_value=False,
            )
        )
        # The SDK offers no hook for its class.
        return Command(
            name=command.name,
            callback=command.callback,
            help=command.help,
            params=command.params,
            context_settings=command.context_settings,
            logger=cls.logger,
        )

    @classmethod
    @override
    def cb_config(  # type: ignore[override] # the SDK's own class for this is private
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> ConfigInput:
        """Read the config; without --config, read the environment."""
        if any("{" in path for path in value):
            raise RunFailedError(
                "--config takes the path of a JSON file, not its content, in which others "
                "could see the key"
            )
        config: dict[str, Any] = {}
        for path in value or ("ENV",):
            if path == "ENV":
                config |= settings.from_environment(os.environ, cls._schema())
            else:
                config |= _read_config(path)
        return ConfigInput(config)

    @classmethod
    def _schema(cls) -> dict[str, Any]:
        """Return the schema of all settings, with those of the SDK."""
        schema = dict(cls.config_jsonschema)
        cls.append_builtin_config(schema)
        return schema

    @classmethod
    def _from_command_line(
        cls,
        given: ConfigInput | None,
        writer: Writer,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> CommandLineTap:
        raw = (given or ConfigInput()).config
        key = raw.get("api_key")
        if isinstance(key, str) and key.strip():
            RedactKey(key).install()  # first, as it may be in other settings by mistake
        config, warnings = settings.validated(raw, cls._schema())
        for warning in warnings:
            cls.logger.warning("%s", warning)
        files: dict[str, Any] = {
            "state": None if state is None else _read_json("--state", state),
            "catalog": None if catalog is None else _read_catalog(catalog),
        }
        signals = {signal.SIGINT, signal.SIGTERM}
        # The SDK's constructor installs handlers of its own, which end in status 0.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            return cls(config=config, message_writer=writer, **files)
        finally:
            for number in signals:
                signal.signal(number, writer.stop)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    @classmethod
    @override
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:
        if value:
            # The SDK warns of what is missing, although discovery needs neither key nor date.
            given = ctx.params.get("config") or ConfigInput()
            unused = {"api_key": "unused", "start_date": "2000-01-01"}
            # The SDK's schema of stream maps fails on some, and discovery needs none.
            used = {name: each for name, each in given.config.items() if name != "stream_maps"}
            ctx.params["config"] = ConfigInput(unused | used)
        super().cb_discover(ctx, param, value)

    @classmethod
    @override
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value in {CliTestOptionValue.Disabled.value, CliTestOptionValue.Schema.value}:
            super().cb_test(ctx, param, value)
            return
        with contextlib.closing(ctx), Writer() as writer:
            tap = cls._from_command_line(
                ctx.params.get("config"), writer, catalog=ctx.params.get("catalog")
            )
            streams = [stream for stream in tap.litmos_streams if stream.selected]
            for stream in streams:
                stream.ABORT_AT_RECORD_COUNT = 1
            if sys.stdout.isatty():
                _silence_stdout()  # messages would bury the verdict
            with tap.prepare_run():
                tap.run_sync_dry_run(streams=streams)
        ctx.exit()

    @classmethod
    def cb_check(cls, ctx: click.Context, param: click.Option, value: bool) -> None:  # noqa: ARG003, FBT001
        """Check whether the account behaves as the tap assumes."""
        if not value:
            return
        from tap_litmos.check import check  # noqa: PLC0415 - no sync needs it

        if ctx.params.get("catalog") is not None:
            cls.logger.warning("--catalog ignored: --check asks the endpoints of all streams")
        with contextlib.closing(ctx), Writer() as writer:
            tap = cls._from_command_line(ctx.params.get("config"), writer)
            transport = tap.transport(ENDPOINTS, fail_fast=True)
            report = check(tap.config, transport, logger=cls.logger)
            hide = RedactKey(tap.config["api_key"]).hide  # an element's name may hold it
            try:
                writer.write_text(hide(report.json()))
            finally:  # last, as a terminal shows both
                print(hide(report.table()), file=sys.stderr)  # noqa: T201
        ctx.exit(int(report.breaks))

    @classmethod
    @override
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: ConfigInput | None = None,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
    ) -> None:
        """Run the command line."""
        if about:
            cls.print_about(about_format)
            return
        cls.logger.info(
            "%s v%s, Meltano SDK v%s", cls.name, cls.plugin_version, cls.sdk_version
        )
        with Writer(for_sync=True) as writer:
            # The SDK will write every message through `writer.write_message`.
            tap = cls._from_command_line(config, writer, state, catalog)
            # `prepare_run` hands the run to the streams. At its end the run logs the summary,
            # and raises an error if rows may be missing.
            with tap.prepare_run():
                tap.sync_all()


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return _read_json("--config", file)
    except OSError as error:
        raise RunFailedError(f"Cannot read --config {path}: {error}") from None


def _read_json(option: str, file: IO[str]) -> dict[str, Any]:
    try:
        text = file.read()
        if option == "--state" and not text.strip():
            # A first run that was killed before its first state leaves an empty file.
            CommandLineTap.logger.warning("%s is empty: this is a first run", file.name)
            return {}
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunFailedError(
            f"{option} {file.name} is not valid JSON ({error}): pass {FILES[option]}"
        ) from None
    if not isinstance(content, dict):
        raise RunFailedError(f"{option} {file.name} is not a JSON object: pass {FILES[option]}")
    return content


def _read_catalog(file: IO[str]) -> Catalog:
    content = _read_json("--catalog", file)
    try:
        catalog = Catalog.from_dict(content)
        if not catalog:
            reason = "it lists no streams"
        elif not all(isinstance(name, str) for name in catalog):
            reason = "a tap_stream_id is not a string"
        elif len(catalog) < len(content["streams"]):
            reason = "it lists a stream twice"
        else:
            return catalog
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = repr(error)
    raise RunFailedError(
        f"--catalog {file.name} is not a Singer catalog ({reason:.100}): --discover prints one"
    )


def _silence_stdout() -> None:
    """Let stdout lead nowhere: no more is printed, and Python's flush at exit cannot fail."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
