"""``python -m minisparse``: the same as the command ``minisparse``."""

import sys

from minisparse.cli import main

if __name__ == "__main__":
    sys.exit(main())
