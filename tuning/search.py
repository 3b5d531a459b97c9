"""``python -m tuning.search``: argv -> SearchConfig -> a search, its progress, its front.

Exit status: 0 done; 2 bad input, named in one message; 130 interrupted, everything kept; 1 anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tuning.arguments import parse
from tuning.errors import BadInput, Interrupted, SearchFailed

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    try:
        request = parse(sys.argv[1:] if argv is None else list(argv))
        if request is None:  # --help-space has printed what was asked for
            return 0
        from tuning.conduct import carry_out

        carry_out(request)
    except BadInput as fault:
        print(f"python -m tuning.search: cannot do what was asked:\n{fault}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"\nInterrupted; everything is kept. To go on:\n  {stop}", file=sys.stderr)
        return INTERRUPTED
    except SearchFailed as failure:
        print(f"The search stopped: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
