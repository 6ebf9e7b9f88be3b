import json
import os
from pathlib import Path

import pytest

from finetuning.errors import TrainingError
from finetuning.events import Meter, SpoolWriter, peak_flops
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import take_in


def _events(run: Run) -> list[tuple[str, dict[str, object]]]:
    rows = run.store.rows("SELECT kind, body FROM event ORDER BY file, offset")
    return [(kind, json.loads(body)) for kind, body in rows]


def test_the_store_takes_in_what_ranks_write(run: Run, tmp_path: Path) -> None:
    for rank in range(2):
        spool = SpoolWriter(tmp_path, rank)
        spool.append("step", step=1, rank=rank, learning_rates={"vision": 2e-6}, mfu=None)
        spool.append("stopping", reason="Größe „Ä“\nzwei Zeilen", step=1)
        spool.close()
    assert take_in(run.store, run.id, tmp_path) == (4, 0, 0)
    events = _events(run)
    assert events[0] == ("step", {"step": 1, "rank": 0, "learning_rates": {"vision": 2e-6}, "mfu": None})
    assert events[1] == ("stopping", {"reason": "Größe „Ä“\nzwei Zeilen", "step": 1})
    assert events[2][1]["rank"] == 1


def test_a_line_torn_by_a_kill_does_not_swallow_the_next(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rank0.spool.jsonl").write_bytes(b'{"kind":"step","step":1}\n{"kind":"st')
    spool = SpoolWriter(tmp_path, 0)
    spool.append("started", resumed_from=None)
    spool.close()
    assert take_in(run.store, run.id, tmp_path) == (2, 1, 0)
    assert [kind for kind, _body in _events(run)] == ["step", "started"]


def test_numbers_that_json_lacks_become_null(run: Run, tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, 0)
    spool.append("step", loss=float("nan"), learning_rates={"vision": float("inf")}, norms=(1.0, -float("inf")))
    spool.close()
    take_in(run.store, run.id, tmp_path)
    assert _events(run) == [("step", {"loss": None, "learning_rates": {"vision": None}, "norms": [1.0, None]})]


def test_a_disk_that_is_full_for_a_while_loses_no_event(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, write = [10], os.write

    def short_of_room(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = write(file, data[: room[0]])
        room[0] -= taken
        return taken

    spool = SpoolWriter(tmp_path, 0)
    monkeypatch.setattr(os, "write", short_of_room)
    for step in range(3):
        spool.append("step", step=step)
    with pytest.raises(TrainingError, match=r"rank0\.spool\.jsonl: No space left"):
        spool.sync()
    room[0] = 1000
    spool.append("step", step=3)
    monkeypatch.undo()
    spool.close()
    assert take_in(run.store, run.id, tmp_path) == (4, 0, 0)
    assert [body["step"] for _kind, body in _events(run)] == [0, 1, 2, 3]


def test_the_meter_counts_per_step_and_over_all_ranks() -> None:
    clock = [0.0]
    meter = Meter(4, 1e12, clock=lambda: clock[0])
    for _ in range(2):
        with meter.waiting():
            clock[0] += 0.5
        clock[0] += 1.5
        meter.step(tokens=1000, samples=8, flops=3.2e12)
    reading = meter.read()
    assert (reading.tokens, reading.samples) == (2000, 16)
    assert reading.step_s == pytest.approx(2.0)
    assert reading.tokens_per_s == pytest.approx(500.0)
    assert reading.samples_per_s == pytest.approx(4.0)
    assert reading.data_wait_s == pytest.approx(0.5)
    assert reading.mfu == pytest.approx(6.4e12 / 4.0 / 4e12)
    assert reading.memory_gib > 0
    clock[0] += 100
    meter.restart()
    clock[0] += 1
    meter.step(tokens=7, samples=1)
    again = meter.read()
    assert (again.tokens, again.step_s, again.mfu) == (7, pytest.approx(1.0), None)


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("NVIDIA L40S", 362.1),
        ("NVIDIA L40", 181.1),
        ("NVIDIA L4", 121.0),
        ("NVIDIA A40", 149.7),
        ("NVIDIA B200", 2250.0),
        ("NVIDIA GB200", 2500.0),
        ("NVIDIA H20", 148.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA A10G", None),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA GeForce GTX 1080", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)
def test_peaks_of_gpus_by_their_names(name: str, tflops: float | None) -> None:
    assert peak_flops(name) == (None if tflops is None else tflops * 1e12)
    assert peak_flops(name, "float32") is None
