"""As torchrun does: start one process per rank in a session of its own, pass signals on, any failure is exit code 1."""

import os
import signal
import subprocess
import sys
from pathlib import Path

TRAINER = Path(__file__).parents[2] / "trainer.py"


def main() -> int:
    ranks = next((int(word.partition("=")[2]) for word in sys.argv if word.startswith("--nproc-per-node")), 1)
    manifest = sys.argv[-1]
    workers = [
        subprocess.Popen(
            [sys.executable, str(TRAINER), manifest],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(ranks)},
            start_new_session=True,
        )
        for rank in range(ranks)
    ]

    def pass_on(number: int, _frame: object) -> None:
        for worker in workers:
            worker.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    codes = [worker.wait() for worker in workers]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
