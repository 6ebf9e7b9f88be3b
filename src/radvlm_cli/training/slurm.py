"""SLURM: a site's profile, a batch script that a person can read, and its submission."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from radvlm_cli.documents import load_yaml
from radvlm_cli.errors import ConfigError
from radvlm_cli.files import atomic_write
from radvlm_cli.program import program_folder
from radvlm_cli.training.launch import Ranks

SCRIPT = "slurm.sh"
_SECRET = re.compile(r"key|token|secret|passw", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Profile(NamedTuple):
    """What is particular to a cluster; a YAML file with these names."""

    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    time: str | None = None
    """Of one job; training goes on in the next."""
    memory: str | None = None
    """Per node, as --mem takes it."""
    gpus_per_node: int | None = None
    """Instead of --gpus."""
    cpus_per_task: int | None = None
    gres: bool = False
    """Ask for GPUs by --gres=gpu:N, where --gpus-per-node is not known."""
    sbatch: tuple[str, ...] = ()
    """More #SBATCH options, e.g. --constraint=h100."""
    modules: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    """Variables to set; no keys."""
    setup: tuple[str, ...] = ()
    """Lines of shell before training, e.g. source venv/bin/activate."""
    srun: tuple[str, ...] = ()
    """More options of srun, e.g. --environment=container.toml."""
    python: str | None = None
    """The Python of the nodes, e.g. inside a container; the running one otherwise."""
    program: str | None = None
    """finetuning/train.py as the nodes see it."""


def load_profile(path: Path | None) -> Profile:
    """Read a profile; ConfigError naming what is wrong. None: nothing particular."""
    if path is None:
        return Profile()
    try:
        value = load_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The profile {path} cannot be read: {error}.", "--profile FILE.yaml") from error
    if not isinstance(value, dict):
        raise ConfigError(f"The profile {path} must be a mapping of {', '.join(Profile._fields)}.")
    return Profile(**{str(key): _field(str(key), each, path) for key, each in value.items()})


def _field(key: str, value: Any, path: Path) -> Any:
    kinds = get_type_hints(Profile)
    if key not in kinds:
        close = get_close_matches(key, Profile._fields, n=1)
        hint = f"Did you mean {close[0]}?" if close else None
        raise ConfigError(f"The profile {path} has {key!r}; there are {', '.join(Profile._fields)}.", hint)
    if key == "environment":
        return _environment(value, path)
    if kinds[key] == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ConfigError(f"The profile {path}: {key} must be a list of texts.")
        return tuple(value)
    if key == "time" and isinstance(value, int):
        # YAML 1.1 reads 12:00:00 as a number in base 60.
        return f"{value // 3600:02}:{value // 60 % 60:02}:{value % 60:02}"
    kind = bool if kinds[key] is bool else int if kinds[key] == int | None else str
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"The profile {path}: {key} is {value!r}, which does not fit.")
    if isinstance(value, str) and "\n" in value:
        raise ConfigError(f"The profile {path}: {key} must be one line.")
    return value


def _environment(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ConfigError(f"The profile {path}: environment must be a mapping of names and values.")
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"The profile {path}: {name!r} is no name of a variable.")
        if _SECRET.search(name):
            raise ConfigError(
                f"The profile {path} sets {name}: keys do not belong into files.",
                f"export {name}=... in your shell; sbatch hands it on",
            )
    return {name: str(each) for name, each in value.items()}


def render(profile: Profile, *, run_id: int, folder: Path, ranks: Ranks) -> str:
    """The batch script of a run."""
    gpus = ranks.gpus
    options = [f"--job-name=radvlm-{run_id}", f"--nodes={ranks.nodes}", "--ntasks-per-node=1"]
    options += [f"--gres=gpu:{gpus}" if profile.gres else f"--gpus-per-node={gpus}"] if gpus else []
    named = {"cpus-per-task": profile.cpus_per_task, "mem": profile.memory, "time": profile.time}
    named |= {"account": profile.account, "partition": profile.partition, "qos": profile.qos}
    options += [f"--{name}={value}" for name, value in named.items() if value is not None]
    options += [f"--output={folder / 'slurm-%j.log'}", "--open-mode=append", "--requeue", *profile.sbatch]
    setup = [f"module load {shlex.quote(name)}" for name in profile.modules]
    setup += [f"export {name}={shlex.quote(value)}" for name, value in profile.environment.items()]
    setup += profile.setup
    values = {
        "RUN": str(run_id),
        "SBATCH": "\n".join(f"#SBATCH {option}" for option in options),
        "SETUP": "\n".join(["", *setup, ""]) if setup else "",
        "FOLDER": shlex.quote(str(folder)),
        "SRUN": "".join(f" {option}" for option in profile.srun),
        "PYTHON": shlex.quote(profile.python or sys.executable),
        "RANKS": str(ranks.per_node),
        "PROGRAM": shlex.quote(profile.program or str(program_folder() / "train.py")),
    }
    template = (program_folder() / "slurm" / "train.sh").read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], template)


def write_script(folder: Path, text: str) -> Path:
    """Write the script into the run's folder; return its path."""
    path = folder / SCRIPT
    with atomic_write(path) as stream:
        stream.write(text)
    path.chmod(0o755)
    return path


def submit(script: Path) -> str:
    """Submit a script; return the job's id. ConfigError with SLURM's own words where it is refused."""
    if shutil.which("sbatch") is None:
        raise ConfigError("There is no sbatch here: this is no SLURM cluster.", "--dry-run prints the script")
    result = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    if result.returncode:
        said = result.stderr.strip() or f"exit code {result.returncode}"
        raise ConfigError(f"SLURM refused the job: {said}", "Mend the profile, then: radvlm train --resume --slurm ...")
    return result.stdout.strip().splitlines()[-1].partition(";")[0]


def job_state(job_id: str) -> str | None:
    """The state of a job that waits or runs, as SLURM calls it (PENDING, RUNNING, ...); None when it is over."""
    if shutil.which("squeue") is None:
        return None
    query = ["squeue", "--noheader", "--jobs", job_id, "--format", "%T"]
    result = subprocess.run(query, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None if result.returncode == 0 else None
