"""`python cli.py ...` runs the pslref command from a checkout."""

from pslref.__main__ import main

if __name__ == "__main__":
    main()
