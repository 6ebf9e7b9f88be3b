"""The training program: `torchrun finetuning/train.py MANIFEST.json`, or `python` for one process."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__":
    from finetuning.program import main

    sys.exit(main(sys.argv[1:]))
