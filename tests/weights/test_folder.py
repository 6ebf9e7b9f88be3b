"""The output appears whole or not at all, whatever happens to the process or the disk."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from radvlm_cli.errors import ConfigError, DataError, Interrupted
from radvlm_cli.progress import Silent, StopSignal
from radvlm_cli.stages.convert import Options, convert
from radvlm_cli.weights.folder import whole_folder
from radvlm_cli.weights.shards import plan_shards, read_header, write_shard
from radvlm_cli.weights.tensors import PIECE, Stored
from tests.weights.originals import ORIGINAL, run_convert


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_output_lies_beside_the_input_unless_told(single: Path) -> None:
    assert run_convert(single, None, force=True).output == single.with_name("model_hf")


def test_an_existing_output_is_kept_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(DataError, match="out exists") as raised:
        run_convert(ORIGINAL, tmp_path / "out")
    assert "--force" in (raised.value.hint or "")
    assert _names(tmp_path / "out") == ["precious"]
    run_convert(ORIGINAL, tmp_path / "out", force=True)
    assert "model.safetensors" in _names(tmp_path / "out")
    assert "precious" not in _names(tmp_path / "out")
    assert _names(tmp_path) == ["out"]


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out exists"):
        run_convert(ORIGINAL, tmp_path / "out", force=True)


@pytest.mark.parametrize("place", [".", "..", "inside"])
def test_the_output_is_neither_the_input_nor_around_nor_in_it(place: str, single: Path) -> None:
    with pytest.raises(ConfigError, match="The output"):
        run_convert(single, (single / place).resolve(), force=True)


def test_a_failure_keeps_the_folder_that_was_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out", replace=True) as staging:
        (staging / "new").write_text(str(1 / 0))
    assert _names(tmp_path / "out") == ["old"]
    assert _names(tmp_path) == ["out"]


def test_a_kill_between_the_two_renames_is_mended_by_the_next_run(tmp_path: Path) -> None:
    old = tmp_path / ".out.replaced.radvlm-tmp"
    old.mkdir()
    (old / "old").touch()
    with pytest.raises(DataError, match="out exists"), whole_folder(tmp_path / "out", replace=False):
        pass
    assert _names(tmp_path / "out") == ["old"]


def test_two_processes_do_not_make_one_folder(tmp_path: Path) -> None:
    with (
        whole_folder(tmp_path / "out", replace=False),
        pytest.raises(DataError, match="Another process is making"),
        whole_folder(tmp_path / "out", replace=False),
    ):
        pass


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 5 * 10**6, 5 * 10**6))
    with pytest.raises(DataError, match=r"has 0\.0 GB free; the converted folder needs 0\.1 GB"):
        run_convert(ORIGINAL, tmp_path / "deep" / "out")
    assert _names(tmp_path) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    stop = StopSignal()
    stop.requested = True
    with pytest.raises(Interrupted):
        convert(Options(ORIGINAL, tmp_path / "out"), progress=Silent(), stop=stop)
    assert _names(tmp_path) == []


KILLED = """
import sys, time
from pathlib import Path
from radvlm_cli.weights import hub
written = hub.write_weights
def slow(folder, *rest, **more):
    made = written(folder, *rest, **more)
    Path(sys.argv[2]).touch()
    time.sleep(60)
    return made
hub.write_weights = slow
from tests.weights.originals import ORIGINAL, run_convert
run_convert(ORIGINAL, Path(sys.argv[1]))
"""


def test_a_kill_leaves_nothing_under_the_final_name_and_a_rerun_clears_up(tmp_path: Path) -> None:
    place, mark = tmp_path / "place", tmp_path / "written"
    place.mkdir()
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(place / "out"), str(mark)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert mark.exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [name for name in _names(place) if not name.startswith(".")] == []
    assert any(name.endswith(".radvlm-tmp") for name in _names(place))
    run_convert(ORIGINAL, place / "out")
    assert _names(place) == ["out"]


def test_tensors_of_many_pieces_arrive_whole_and_types_stay_aligned(tmp_path: Path) -> None:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file

    large = np.random.default_rng(0).standard_normal(PIECE // 4 * 2 + 5, dtype=np.float32)
    save_file({"small": np.ones(3, np.float16), "large": large}, tmp_path / "in.safetensors")
    tensors = read_header(tmp_path / "in.safetensors")
    sizes: list[int] = []
    write_shard(tmp_path / "out.safetensors", tensors, lambda name, piece: sizes.append(len(piece)))
    assert max(sizes) == PIECE
    with safe_open(tmp_path / "out.safetensors", "np") as copy:
        assert copy.metadata() == {"format": "pt"}
        assert np.array_equal(copy.get_tensor("large"), large)
        assert np.array_equal(copy.get_tensor("small"), np.ones(3))
    assert read_header(tmp_path / "out.safetensors")["large"].offset % 4 == 0


def test_shards_keep_the_order_and_the_limit() -> None:
    tensors = {str(n): Stored(Path("x"), 0, "F32", (size,)) for n, size in enumerate([10, 10, 30, 5, 5])}
    assert [list(shard) for shard in plan_shards(tensors, 80)] == [["0", "1"], ["2"], ["3", "4"]]


def test_a_header_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(DataError, match="a has 8 bytes, its shape makes 12"):
        read_header(path)


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EROFS, "--output FOLDER"), (errno.EACCES, "--output FOLDER"), (errno.ENOSPC, "Free some")],
)
def test_a_place_that_takes_nothing_is_told_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(_folder: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError, match="Cannot write") as caught, whole_folder(tmp_path / "out", replace=False):
        pass
    assert (caught.value.hint or "").startswith(hint)
