import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetuning.checkpoints import newest, save
from finetuning.errors import CheckpointError
from finetuning.space import FULL_HINT, refuse_if_full
from tests.finetuning.test_checkpoints import FACTS, save_one, steps_of


def _fail_with(error: Exception) -> Callable[[Path], None]:
    def write(staging: Path) -> None:
        (staging / "weights.bin").write_bytes(bytes(1 << 20))
        raise error

    return write


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk", "quota", "safetensors"],
)
def test_a_disk_that_fills_up_is_told_and_leaves_the_older_ones(tmp_path: Path, error: Exception) -> None:
    save_one(tmp_path, 5, size=3 << 20)
    facts = replace(FACTS, step=10)
    with pytest.raises(CheckpointError, match=r"1\.0 MiB was written .* The last checkpoint takes 3\.0 MiB") as told:
        save(tmp_path, 10, _fail_with(error), facts=facts, rank=0, world=1, barrier=lambda: None)
    assert told.value.hint is not None
    assert not (tmp_path / ".staging-10").exists()
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.facts.step == 5
    save_one(tmp_path, 10)
    assert steps_of(tmp_path) == [5, 10]


def test_another_error_while_writing_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        save(tmp_path, 5, _fail_with(ZeroDivisionError()), facts=FACTS, rank=0, world=1, barrier=lambda: None)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_another_one_pulls_along_tells_the_same_reason(tmp_path: Path) -> None:
    def write(staging: Path) -> None:
        shutil.rmtree(staging)
        (tmp_path / ".given-up-5").write_text("No space left for it")
        (staging / "weights.bin").write_bytes(b"w")

    with pytest.raises(CheckpointError, match="No space left for it"):
        save(tmp_path, 5, write, facts=FACTS, rank=1, world=2, barrier=lambda: None)


def test_a_checkpoint_that_cannot_fit_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No room for .*checkpoint-5: .* is missing"):
        refuse_if_full(tmp_path / "not" / "yet", "checkpoint-5", 1 << 60)
    refuse_if_full(tmp_path, "checkpoint-5", 1)
    refuse_if_full(tmp_path, "checkpoint-5", None)


FILL_A_DISK = """
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from finetuning.checkpoints import save
from finetuning.errors import CheckpointError
from tests.finetuning.test_checkpoints import FACTS

def attempt(step, size):
    def write(staging):
        if sys.argv[2] == "torch":
            import torch
            torch.save(torch.zeros(size, dtype=torch.uint8), staging / "optimizer.pt")
        else:
            (staging / "optimizer.pt").write_bytes(bytes(size))
    facts = replace(FACTS, step=step)
    save(folder, step, write, facts=facts, rank=0, world=1, barrier=lambda: None)

folder = Path(sys.argv[1])
attempt(1, 1 << 20)
try:
    attempt(2, 4 << 20)
except CheckpointError as error:
    print(error.message)
print(sorted(path.name for path in folder.iterdir()))
"""


@pytest.mark.parametrize("writer", ["plain", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_really_full_disk(tmp_path: Path, writer: str) -> None:
    """torch has an error of its own for it, which does not name the cause."""
    mounted = f'mount -t tmpfs -o size=4m none "{tmp_path}" && exec "$@"'
    program = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*program, "true"], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [*program, sys.executable, "-c", FILL_A_DISK, str(tmp_path), writer],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root}/src"},
    )
    first, second = result.stdout.splitlines()
    assert first.startswith("No space left for ")
    assert "The last checkpoint takes 1.0 MiB" in first
    assert second == "['.given-up-2', 'checkpoint-1']"


def test_a_disk_without_room_for_the_trained_model_is_told_and_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from finetuning import export
    from finetuning.manifest import parse_manifest
    from finetuning.places import Place
    from tests.finetuning.test_manifest import least

    def full(_model: object, folder: Path, **_: object) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(export, "save_weights", full)
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "of an earlier end").touch()
    model = SimpleNamespace(state_dict=dict, config=SimpleNamespace())
    trainer: Any = SimpleNamespace(model=model, is_deepspeed_enabled=False)
    manifest = parse_manifest(least() | {"run": {"id": 1, "folder": str(tmp_path)}})
    with pytest.raises(CheckpointError, match=r"No space left for .*final") as told:
        export.export(trainer, manifest, Place(0, 1, 0))
    assert told.value.hint == FULL_HINT
    assert [path.name for path in (tmp_path / "final").iterdir()] == ["of an earlier end"]
    assert not (tmp_path / ".staging-final").exists()
