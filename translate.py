"""Translate: `python translate.py --model runs/maps --direction a2b --input photos/ --output maps/`."""

import sys

from unit.commands import translate

if __name__ == "__main__":
    sys.exit(translate(sys.argv[1:]))
