"""The command `tap-litmos`; `python -m tap_litmos` is the same."""

from tap_litmos.tap import TapLitmos


def main() -> None:
    """Run the command line."""
    TapLitmos.cli()


if __name__ == "__main__":
    main()
