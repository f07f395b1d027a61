"""`accelerate launch train.py --config maps`: the same as `unit train`."""

import sys

from unit.cli.train import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
