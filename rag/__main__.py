"""``python -m rag``."""

import sys

try:
    from rag.cli import main

    sys.exit(main())
except KeyboardInterrupt:  # before the command line is there to answer it
    sys.exit(130)
