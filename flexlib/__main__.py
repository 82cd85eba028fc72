"""`python -m flexlib`: the command line."""

import sys

from flexlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
