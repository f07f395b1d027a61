"""Train: `accelerate launch train.py --config maps.yaml`, or go on with `--resume runs/maps`."""

import sys

from unit.commands import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
