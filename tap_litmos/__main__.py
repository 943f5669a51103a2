"""The commands `tap-litmos`, which `python -m tap_litmos` is too, and `tap-litmos-sandbox`."""

import sys


def main() -> None:
    """Run the command line."""
    from tap_litmos.cli import CommandLineTap  # noqa: PLC0415 - the sandbox does not need it

    CommandLineTap.cli()


def sandbox() -> None:
    """Run the sandbox."""
    from tap_litmos.sandbox.__main__ import main  # noqa: PLC0415 - the tap does not need it

    sys.exit(main())


if __name__ == "__main__":
    main()
