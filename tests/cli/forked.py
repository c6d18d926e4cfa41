"""A tiny module to run by `python -m`: writes down what it was started as, and ends as it is told to."""

import json
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    directory = Path(os.environ["DIRECTORY"])
    facts = {
        "argv": sys.argv[1:],
        "environment": dict(os.environ),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "directory": str(Path.cwd()),
        "command": Path("/proc/self/cmdline").read_text(encoding="utf-8").rstrip("\0").split("\0"),
        "main": sys.modules["__main__"].__file__,
    }
    (directory / "facts.part").write_text(json.dumps(facts))
    (directory / "facts.part").rename(directory / "facts")
    print("to stdout")
    match os.environ["END"]:
        case "exit 3":
            sys.exit(3)
        case "message":
            sys.exit("a sentence about COLOUR")
        case "raise":
            raise RuntimeError("nobody caught this")
        case "return":
            pass
        case _:
            time.sleep(600)
