"""`zoco`: run the shop on this machine and look after it."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the sentence for those who have an older one
    sys.exit("Zoco needs Python 3.11 or newer, and this is {}.{}.".format(*sys.version_info[:2]))

from cli.app import main

if __name__ == "__main__":
    main()
