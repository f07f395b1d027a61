"""`python translate.py --model … --input … --output …`: the same as `unit translate`."""

import sys

from unit.cli.translate import translate

if __name__ == "__main__":
    sys.exit(translate(sys.argv[1:]))
