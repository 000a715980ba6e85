"""Where the `pslref` command and `python -m pslref` begin."""

import os
import sys

THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def main() -> None:
    """Run the command line, with one thread for matrix products unless the user has said how many.

    A library reads that when NumPy is imported, so it is set before. Ctrl-C while the command line
    is still imported is one sentence, too.
    """
    try:
        if not any(name in os.environ for name in THREADS):
            os.environ |= dict.fromkeys(THREADS[:2], "1")  # the last is that of PyTorch, too
        from pslref.app import cli

        cli.main()
    except KeyboardInterrupt:
        print("pslref: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
