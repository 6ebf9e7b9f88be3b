"""DeepSpeed's shards of two ranks become the model that was trained."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from radvlm_cli.errors import DataError
from radvlm_cli.weights.verify import source_name
from tests.weights.originals import ORIGINAL, run_convert, tensors_of

pytest.importorskip("deepspeed")

WORKER = Path(__file__).with_name("zero_worker.py")


@pytest.fixture(scope="module", params=[2, 3], ids=["ZeRO-2", "ZeRO-3"])
def shards(request: pytest.FixtureRequest, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of two ranks; the weights as DeepSpeed gathers them lie beside it."""
    folder = tmp_path_factory.mktemp(f"zero{request.param}") / "checkpoint-2"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(WORKER), str(request.param), str(converted), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    shutil.copy(converted / "config.json", folder / "config.json")
    return folder


@pytest.mark.slow
def test_shards_become_the_trained_model(shards: Path, converted: Path, tmp_path: Path) -> None:
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    from safetensors.torch import load_file

    made = run_convert(shards, tmp_path / "out", tokenizer=ORIGINAL, verify=True)
    assert "DeepSpeed" in made.kind
    assert made.dtype == "bfloat16"
    gathered = load_file(shards.with_suffix(".safetensors"))
    ours, before = tensors_of(made.output), tensors_of(converted)
    for name, value in ours.items():
        assert torch.equal(value, gathered[source_name(name, "native")]), name
    changed = [name for name, value in ours.items() if not torch.equal(value, before[name])]
    assert len(changed) > 50
    full = tensors_of(run_convert(shards, tmp_path / "full", tokenizer=ORIGINAL, dtype="float32").output)
    assert all(torch.equal(full[name].to(torch.bfloat16), value) for name, value in ours.items())
    theirs = get_fp32_state_dict_from_zero_checkpoint(str(shards))
    assert all(torch.equal(full[name], theirs[source_name(name, "native")].float()) for name in full)
    same = tensors_of(run_convert(shards / "global_step2", tmp_path / "same", tokenizer=ORIGINAL).output)
    assert all(torch.equal(same[name], value) for name, value in ours.items())


@pytest.mark.slow
def test_faulty_shards_are_refused(shards: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(shards, tmp_path / "lost")
    next(iter(sorted(broken.glob("global_step2/*rank_1*optim_states.pt")))).unlink()
    with pytest.raises(DataError, match="cannot be put together"):
        run_convert(broken, tmp_path / "out", tokenizer=ORIGINAL)
    broken = shutil.copytree(shards, tmp_path / "foreign")
    path = next(iter(broken.glob("global_step2/*rank_1*optim_states.pt")))
    torch.save({"optimizer_state_dict": shutil.rmtree}, path)
    with pytest.raises(DataError, match=r"asks for shutil\.rmtree, which no DeepSpeed checkpoint needs"):
        run_convert(broken, tmp_path / "out", tokenizer=ORIGINAL)
    broken = shutil.copytree(shards, tmp_path / "short")
    path = next(iter(broken.glob("global_step2/*rank_1*optim_states.pt")))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read"):
        run_convert(broken, tmp_path / "out", tokenizer=ORIGINAL)
    (shards / "latest").rename(shards / "moved")
    (shards / "latest").write_text("global_step9")
    with pytest.raises(DataError, match="names global_step9, which is not there"):
        run_convert(shards, tmp_path / "out", tokenizer=ORIGINAL)
    (shards / "moved").rename(shards / "latest")
