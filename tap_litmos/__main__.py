"""The commands `tap-litmos`, which `python -m tap_litmos` is too, and `tap-litmos-sandbox`."""

import os
import sys


def main() -> None:
    """Run the command line."""
    from tap_litmos.cli import CommandLineTap  # noqa: PLC0415 - the sandbox does not need it

    # Python has none of the two where it is closed.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.exit("stdout is closed, so that no row can be written: pipe it into a target")
    try:
        command = CommandLineTap.cli
    except Exception as error:  # noqa: BLE001 - whatever a logging configuration may raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        sys.exit(
            f"Logging cannot be set up ({reason}): check LOGLEVEL, TAP_LITMOS_LOGLEVEL and "
            "SINGER_SDK_LOG_CONFIG"
        )
    command()


def sandbox() -> None:
    """Run the sandbox."""
    from tap_litmos.sandbox.__main__ import main  # noqa: PLC0415 - the tap does not need it

    sys.exit(main())


if __name__ == "__main__":
    main()
