"""Where the `pslref` command and `python -m pslref` begin."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still imported is one sentence, too."""
    try:
        from pslref.app import cli

        cli.main()
    except KeyboardInterrupt:
        print("pslref: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
