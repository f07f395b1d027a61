"""`python -m unit evaluate`: score a finished model."""

import sys

from unit.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
