"""`python datasets/prepare.py NAME` is `unit data NAME`, from a checkout that need not be installed."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from unit.cli.data import data

    sys.exit(data(sys.argv[1:]))
