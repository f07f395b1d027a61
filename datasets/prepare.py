"""`python datasets/prepare.py NAME`: the data sets of `unit.data.sets`, from a checkout that need not be installed."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from unit.data.sets.prepare import main

    sys.exit(main())
