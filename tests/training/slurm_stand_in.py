#!/usr/bin/env python3
"""SLURM for tests, under the name of any of its commands: one node, jobs at once, requeueing as the real one does.

State lies in the folder SLURM_STAND_IN: job N in N.json, what was called in calls.txt. `sbatch` reads #SBATCH lines,
starts the script as a process of its own with the variables that SLURM sets, and prints the job's id.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["SLURM_STAND_IN"])


def main() -> int:
    name, words = Path(sys.argv[0]).name, sys.argv[1:]
    with (STATE / "calls.txt").open("a") as calls:
        calls.write(shlex.join([name, *words]) + "\n")
    return {"sbatch": sbatch, "srun": srun, "scontrol": scontrol, "squeue": squeue, "job": job}[name](words)


def sbatch(words: list[str]) -> int:
    assert words[0] == "--parsable"
    script = Path(words[-1])
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script.read_text(), re.MULTILINE))
    if options.get("account") == "wrong":
        print("sbatch: error: Invalid account or account/partition combination specified", file=sys.stderr)
        return 1
    number = len(list(STATE.glob("*.json"))) + 4000
    write(number, {"script": str(script), "options": options, "state": "RUNNING", "restarts": 0})
    # As a real job, it holds neither terminal nor pipes of whoever submitted it.
    nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, __file__, "job", str(number)], start_new_session=True, **nothing)
    print(f"{number};cluster")
    return 0


def job(words: list[str]) -> int:
    """The job itself: its script, again as long as it is requeued."""
    number = int(words[0])
    while True:
        told = read(number)
        write(number, told | {"state": "RUNNING"})
        log = Path(told["options"]["output"].replace("%j", str(number)))
        seconds = float((STATE / "seconds").read_text()) if (STATE / "seconds").exists() else 3600
        slurm = {
            "SLURM_JOB_ID": str(number),
            "SLURM_NNODES": told["options"]["nodes"],
            "SLURM_JOB_NODELIST": "localhost",
            "SLURM_RESTART_COUNT": str(told["restarts"]),
        }
        if not (STATE / "old").exists():
            slurm["SLURM_JOB_END_TIME"] = str(int(time.time() + seconds))
        with log.open("ab") as output:
            code = subprocess.run(
                ["bash", told["script"]], env={**os.environ, **slurm}, stdout=output, stderr=output, check=False
            ).returncode
        told = read(number)
        if told["state"] != "REQUEUED":
            write(number, told | {"state": "COMPLETED" if code == 0 else "FAILED", "code": code})
            return 0
        write(number, told | {"restarts": told["restarts"] + 1})


def srun(words: list[str]) -> int:
    while words[0].startswith("--"):
        words = words[1:]
    return subprocess.run(words, check=False).returncode


def scontrol(words: list[str]) -> int:
    if words[:2] == ["show", "hostnames"]:
        print(words[2])
        return 0
    if words[0] == "requeue":
        write(int(words[1]), read(int(words[1])) | {"state": "REQUEUED"})
        return 0
    return 1


def squeue(words: list[str]) -> int:
    number, form = int(words[words.index("--jobs") + 1]), words[-1]
    told = read(number)
    if form == "%e":
        print(time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3600)))
    elif told["state"] in ("RUNNING", "REQUEUED"):
        print(told["state"])
    return 0


def read(number: int) -> dict:
    return json.loads((STATE / f"{number}.json").read_text())


def write(number: int, told: dict) -> None:
    temporary = STATE / f".{number}.{os.getpid()}"
    temporary.write_text(json.dumps(told))
    temporary.replace(STATE / f"{number}.json")


if __name__ == "__main__":
    if Path(sys.argv[0]).name == "slurm_stand_in.py":
        sys.argv = [str(Path(sys.argv[1])), *sys.argv[2:]]
    sys.exit(main())
