"""`python -m clep`: the command where its script is not on the path."""

import os
import sys

if __name__ == "__main__":  # a process that only imports this, such as a worker, runs nothing
    if sys.path[:1] == [os.getcwd()]:
        del sys.path[0]  # `-m` puts it first; `main` puts it last, where it takes the place of no library
    from clep.cli import main

    sys.exit(main())
