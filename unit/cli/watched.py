"""`python -m unit.cli.watched PROGRESS END …`: `unit train`, watched from outside (unit/proof/events.py).

With an END above 0 the process kills itself at that event inside a save.
"""

import sys
from pathlib import Path

from unit.cli.train import train
from unit.proof.events import watch

if __name__ == "__main__":
    progress, end, *arguments = sys.argv[1:]
    watch(Path(progress), end=int(end) or None)
    code = train(arguments)
    sys.setprofile(None)
    sys.exit(code)
