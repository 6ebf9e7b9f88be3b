"""A worker: what it asks, in which order, and what it writes down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.adapters.protocol import Reply, Request
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.stages.answering.job import STOP_FILE, Ask, Job, check_adapter, read_asks, read_job, write_job
from radvlm_cli.stages.answering.worker import AT_ONCE, Stopped, Watched, Worker, status_of
from radvlm_cli.stages.answering.workers import environment_of
from radvlm_cli.store.spool_writer import SUFFIX, SpoolWriter


class Model:
    """Answers by a function, and remembers what it was asked."""

    batches = True

    def __init__(self, say: Callable[[Request], Reply]) -> None:
        self.say = say
        self.identity: dict[str, Any] = {}
        self.batches_asked: list[list[Request]] = []

    def cost(self, request: Request) -> int:
        return len(request.turns)

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        self.batches_asked.append(list(requests))
        return [self.say(request) for request in requests]

    def close(self) -> None: ...


JOB = Job(run_id=1, model="scripted", loading={"weights": []}, batch=4, workers=1, per_node=1, asks="asks.jsonl")


def ask(position: int, *questions: str, alone: bool = False) -> Ask:
    """A sample to ask."""
    task = "conversation" if len(questions) > 1 else "report"
    return Ask(7, position, 1, f"s{position}", "/a.jpg", questions or ("Describe.",), task, 9, alone)  # type: ignore[arg-type]


def work(folder: Path, model: Model, asks: Sequence[Ask]) -> list[dict[str, Any]]:
    """The answers that a worker writes, in order."""
    spool = SpoolWriter(folder, "rank0")
    try:
        Worker(JOB, folder, 0, spool, model).work(asks)
    finally:
        spool.close()
    lines = (folder / f"rank0{SUFFIX}").read_text().splitlines()
    return [json.loads(line) for line in lines if line]


def test_a_conversation_goes_on_with_the_models_own_answers(tmp_path: Path) -> None:
    model = Model(lambda request: Reply(f"{request.key} round {len(request.turns) // 2}", tokens_out=2))
    answers = work(tmp_path, model, [ask(0, "A?", "B?", "C?"), ask(1, "D?", "E?")])
    assert {each["position"]: json.loads(each["text"]) for each in answers} == {
        0: ["s0 round 0", "s0 round 1", "s0 round 2"],
        1: ["s1 round 0", "s1 round 1"],
    }
    assert [len(batch) for batch in model.batches_asked] == [2, 2, 1]
    last = model.batches_asked[-1][0]
    assert [turn.text for turn in last.turns] == ["A?", "s0 round 0", "B?", "s0 round 1", "C?"]
    assert {each["tokens_out"] for each in answers} == {4, 6}


def test_many_conversations_are_under_way_at_once_but_not_all(tmp_path: Path) -> None:
    model = Model(lambda request: Reply("x"))
    asks = [ask(n, *(f"{round_}?" for round_ in range(1 + n % 3))) for n in range(3 * AT_ONCE)]
    answers = work(tmp_path, model, [each for each in asks if len(each.questions) > 1])
    assert sorted(each["position"] for each in answers) == [n for n in range(3 * AT_ONCE) if n % 3]


def test_an_error_ends_a_conversation_and_the_rounds_before_are_kept(tmp_path: Path) -> None:
    model = Model(lambda request: Reply("", error="gone") if len(request.turns) == 3 else Reply("yes"))
    (answer,) = work(tmp_path, model, [ask(0, "A?", "B?", "C?")])
    assert (answer["status"], answer["error"], json.loads(answer["text"])) == ("error", "gone", ["yes", ""])


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        ([Reply("fine")], "ok"),
        ([Reply(" \n")], "empty"),
        ([Reply("", truncated=True)], "truncated"),
        ([Reply("fine"), Reply("")], "ok"),
        ([Reply(""), Reply("")], "empty"),
        ([Reply("fine", truncated=True), Reply("fine")], "truncated"),
        ([Reply("fine", truncated=True), Reply("", error="no")], "error"),
    ],
)
def test_the_worst_round_says_how_an_answer_came_out(replies: list[Reply], status: str) -> None:
    assert status_of(replies) == status


def test_a_sample_that_makes_the_model_raise_is_an_error_and_its_batch_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(request: Request) -> Reply:
        if request.key == "s2":
            raise ValueError("Mrs Smith")
        return Reply("fine")

    answers = work(tmp_path, Model(say), [ask(n) for n in range(6)])
    assert {each["position"]: each["status"] for each in answers} == {n: "error" if n == 2 else "ok" for n in range(6)}
    assert next(each["error"] for each in answers if each["position"] == 2) == "ValueError while answering"
    assert "Mrs Smith" in capsys.readouterr().err  # the log is local; the store is what is shared


def test_a_model_that_always_raises_stops_the_worker(tmp_path: Path) -> None:
    def say(_request: Request) -> Reply:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        work(tmp_path, Model(say), [ask(n) for n in range(40)])
    written = (tmp_path / f"rank0{SUFFIX}").read_text().count('"kind":"answer"')
    assert written < 10


def test_a_lack_of_memory_is_left_to_the_batching(tmp_path: Path) -> None:
    def say(request: Request) -> Reply:
        if len(model.batches_asked[-1]) > 1:
            raise MemoryError
        return Reply("fine")

    model = Model(say)
    answers = work(tmp_path, model, [ask(n) for n in range(5)])
    assert {each["status"] for each in answers} == {"ok"}
    assert len(answers) == 5


def test_what_killed_a_worker_is_asked_last_and_alone(tmp_path: Path) -> None:
    model = Model(lambda request: Reply("fine"))
    work(tmp_path, model, [ask(0, alone=True), ask(1, alone=True), ask(2), ask(3)])
    keys = [[request.key for request in batch] for batch in model.batches_asked]
    assert sorted(keys[0]) == ["s2", "s3"]
    assert sorted(keys[1:]) == [["s0"], ["s1"]]


def test_what_is_in_hand_is_named_while_it_is(tmp_path: Path) -> None:
    def say(_request: Request) -> Reply:
        seen.append(json.loads((tmp_path / "3.hand").read_text()))
        return Reply("fine")

    seen: list[list[str]] = []
    watched = Watched(Model(say), tmp_path, 3)
    watched.answer([Request("a", Path("/a.jpg"), (), "report"), Request("b", Path("/a.jpg"), (), "report")], 9)
    assert seen == [["a", "b"], ["a", "b"]]
    assert not (tmp_path / "3.hand").exists()


def test_a_stop_file_stops_before_the_next_batch(tmp_path: Path) -> None:
    def say(_request: Request) -> Reply:
        (tmp_path / STOP_FILE).touch()
        return Reply("fine")

    with pytest.raises(Stopped):
        work(tmp_path, Model(say), [ask(n) for n in range(9)])
    assert (tmp_path / f"rank0{SUFFIX}").read_text().count('"kind":"answer"') == 4


def test_half_a_surrogate_pair_in_an_answer_is_replaced(tmp_path: Path) -> None:
    (answer,) = work(tmp_path, Model(lambda _request: Reply("a\ud83d b")), [ask(0)])
    assert answer["text"] == "a? b"


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_shares_are_disjoint_and_whole(tmp_path: Path, workers: int) -> None:
    job = JOB._replace(workers=workers)
    asks = [ask(n, "A?", "B?") for n in range(10)]
    manifest = write_job(tmp_path, job, asks)
    assert read_job(manifest) == job
    shares = [list(read_asks(tmp_path, job, rank)) for rank in range(workers)]
    assert sorted((each for share in shares for each in share), key=lambda each: each.position) == asks


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "run_id": 1}', '{"format": 1, "x": 2}']
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answering.json"
    path.write_text(text)
    with pytest.raises(DataError):
        read_job(path)


def test_a_model_that_says_otherwise_of_itself_is_refused() -> None:
    check_adapter({"dtype": "float32"}, {"dtype": "float32"})
    with pytest.raises(ConfigError, match="dtype: was 'float32', now 'float16'"):
        check_adapter({"dtype": "float32"}, {"dtype": "float16"})


def test_each_worker_has_a_gpu_of_those_that_the_parent_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment_of(1, gpus=2, per_node=2)["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    assert environment_of(1, gpus=2, per_node=2)["CUDA_VISIBLE_DEVICES"] == "GPU-7"
    with pytest.raises(ConfigError, match="names 2"):
        environment_of(2, gpus=3, per_node=3)


def test_workers_on_the_cpu_share_the_cores_and_none_reaches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 12)
    found = environment_of(0, gpus=0, per_node=5)
    assert (found["OMP_NUM_THREADS"], found["HF_HUB_OFFLINE"]) == ("2", "1")


def test_a_refusal_is_an_answer_and_ends_a_conversation(tmp_path: Path) -> None:
    model = Model(lambda request: Reply("", error="stopped by a content filter", refused=True))
    answers = work(tmp_path, model, [ask(0, "A?"), ask(1, "A?", "B?")])
    assert [each["status"] for each in answers] == ["refused", "refused"]
