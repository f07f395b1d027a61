"""`python -m unit`: the same as the command `unit`."""

import sys

from unit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
