"""``python -m tuning``: what there is, and each of it as a subcommand (see ``tuning.ttq``)."""

from __future__ import annotations

import sys

from tuning.ttq import main

if __name__ == "__main__":
    sys.exit(main())
