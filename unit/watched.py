"""`python -m unit.watched BOARD END …`: train.py with a board that says where it is (unit/proof/moments.py).

With an END above 0 the process kills itself at that moment inside a save.
"""

import sys
from pathlib import Path

from unit.commands import train
from unit.proof.moments import watch

if __name__ == "__main__":
    board, end, *arguments = sys.argv[1:]
    watch(Path(board), end=int(end) or None)
    code = train(arguments)
    sys.setprofile(None)
    sys.exit(code)
