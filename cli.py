"""`python cli.py ...` runs the pslref command from a checkout."""

from pslref.cli import main

if __name__ == "__main__":
    main()
