"""A store with everything a page shows, with scripts planted wherever somebody else's text comes in, and secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.runs import Run, open_run
from tests.stages.evaluation.evaluated import BOX, FAR, Sample, add_evaluation, add_test_set, phrases

SCRIPT = "<script>document.title='taken'</script>"
IMAGE = '"><img src=x onerror="document.title=\'taken\'">'
ANSWER = f"ANSWERTEXT {SCRIPT}{IMAGE}</script></style></svg>"
REPORT = f"REPORTTEXT {IMAGE} ]]> <!-- {SCRIPT} &amp; \u202e \x1b[2J"
SECRETS = ("ANSWERTEXT", "REPORTTEXT", "PHRASETEXT", "secret-patient", "secret-study", "secret-folder", "secret-host")
"""What must not be in a public page, nor the name of any sample."""
SAMPLES = 12


def planted_store(folder: Path) -> Path:
    """Make the store and its images below `folder`; return its path."""
    path = folder / "radvlm.db"
    with open_store(path) as store, open_run(store, "eval", {"data_dir": "/secret-folder"}) as run:
        _dataset(store, run)
        _training(store, run)
        _calls(store, run)
        sets = {
            "mscxr-phrase-test": add_test_set(store, run, "mscxr-phrase-test", "phrase", phrases(SAMPLES)),
            "findings": add_test_set(store, run, "findings", "classification", _findings()),
            "reports": add_test_set(store, run, "reports", "report", phrases(SAMPLES)),
            "talks": add_test_set(store, run, "talks", "conversation", phrases(SAMPLES)),
        }
        for model in (f"maira2{SCRIPT}", "chat:/secret-folder/trained"):
            _evaluate(store, run, sets, model)
        _plant(store, folder)
    return path


def _findings() -> list[Sample]:
    present = (["Edema"], ["Edema", "Fracture"], [])
    return [Sample(f"p{number}", "F", 50, reference=present[number % 3]) for number in range(SAMPLES)]


def _evaluate(store: Store, run: Run, sets: dict[str, int], model: str) -> None:
    boxes: list[Any] = [[BOX] if number % 3 else [FAR] for number in range(SAMPLES)]
    statuses = {1: "unparsable", 2: "error", 3: "refused"}
    add_evaluation(store, run, sets["mscxr-phrase-test"], model, boxes, statuses=statuses)
    labels: list[Any] = [{"Edema": 1} if number % 2 else {"Fracture": 1} for number in range(SAMPLES)]
    add_evaluation(store, run, sets["findings"], model, labels)
    for name in ("reports", "talks"):
        add_evaluation(store, run, sets[name], model, [""] * SAMPLES, scored=False)


def _plant(store: Store, folder: Path) -> None:
    """Scripts into texts, ids and file names; boxes and labels as parsers leave them."""
    named = folder / "a 'name' <img src=x onerror=alert(1)>&.jpg"
    Image.new("L", (600, 700), 90).save(named)
    turns = json.dumps([f"PHRASETEXT {SCRIPT}", "And where?"])
    talk = json.dumps({"turns": [["human", "?"], ["gpt", REPORT], ["human", "?"], ["gpt", "Left."]]})
    updates: list[tuple[str, tuple[Any, ...]]] = [
        ("UPDATE test_sample SET path = ?, turns = ?, width = 600, height = 700", (str(named), turns)),
        ("UPDATE test_sample SET sample_id = sample_id || ?, patient_id = 'secret-patient-' || patient_id", (SCRIPT,)),
        ("UPDATE test_sample SET study_id = 'secret-study', indication = ?", (REPORT,)),
        ("UPDATE test_sample SET path = '/secret-folder/none.jpg' WHERE position = 5", ()),
        ("UPDATE prediction SET prompt = ?, text = ?", (f"PHRASETEXT {SCRIPT}", ANSWER)),
        ("UPDATE prediction SET error = '/secret-folder: ANSWERTEXT' WHERE status = 'error'", ()),
        (
            "UPDATE parsed SET content = ? WHERE status = 'ok' AND evaluation_id IN (SELECT evaluation.id "
            "FROM evaluation JOIN test_set ON test_set.id = test_set_id WHERE task = 'phrase')",
            (json.dumps({"boxes": [list(BOX)], "malformed": 0}),),
        ),
        (
            "UPDATE parsed SET parser = 'labels/3 plain/1', content = ? WHERE evaluation_id IN (SELECT evaluation.id "
            "FROM evaluation JOIN test_set ON test_set.id = test_set_id WHERE task = 'classification')",
            (json.dumps({"labels": {"Edema": 1, "Fracture": -1, "Pneumonia": 0}}),),
        ),
        (
            "UPDATE test_sample SET turns = ? WHERE test_set_id = (SELECT id FROM test_set WHERE name = 'findings')",
            (json.dumps([f"What is seen? {SCRIPT}"]),),
        ),
        (
            "UPDATE test_sample SET reference = ? WHERE test_set_id = (SELECT id FROM test_set WHERE name = 'reports')",
            (json.dumps({"text": REPORT}),),
        ),
        (
            "UPDATE test_sample SET reference = ? WHERE test_set_id = (SELECT id FROM test_set WHERE name = 'talks')",
            (talk,),
        ),
        (
            "UPDATE prediction SET text = ? WHERE evaluation_id IN (SELECT evaluation.id FROM evaluation "
            "JOIN test_set ON test_set.id = test_set_id WHERE task = 'conversation')",
            (json.dumps([ANSWER, "There."]),),
        ),
        ("UPDATE run SET host = 'secret-host'", ()),
    ]
    with store.write() as connection:
        for sql, values in updates:
            connection.exec_driver_sql(sql, values)


def _dataset(store: Store, run: Run) -> None:
    with store.write() as connection:
        for source, split in (("mimic", "train"), ("mimic", "test"), ("vindr", None)):
            connection.exec_driver_sql(
                "INSERT INTO image (source, image_id, patient_id, split, root, path, sex, age, status, run_id) "
                "VALUES (?, ?, 'secret-patient-0', ?, 'data', 'secret-folder/a.jpg', 'F', 60, 'present', ?)",
                (source, f"{source} {split}", split, run.id),
            )
        connection.exec_driver_sql(
            "INSERT INTO dataset (id, key, name, output, recipe, options, pairs, status, run_id) VALUES "
            """(1, 'k', 'train', '/secret-folder', '{}', '{"leakage":"remove","uncertain":"positive"}', 40, """
            "'complete', ?)",
            (run.id,),
        )
        connection.exec_driver_sql(
            "INSERT INTO component (dataset_id, position, name, task, source, splits, repeat, expected, found, "
            "unusable, leaked, removed, pairs, remark) VALUES "
            "(1, 0, 'mimic-report', 'report', 'mimic', '[]', 1, 50, 40, 1, 0, 0, 40, '/secret-folder')"
        )


def _training(store: Store, run: Run) -> None:
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO training (run_id, folder, recipe, model, dataset_id, data_sha256, pairs) "
            "VALUES (?, '/secret-folder', 'tiny', '/secret-folder/tiny', 1, 'aa', 40)",
            (run.id,),
        )
        bodies: list[tuple[str, dict[str, Any]]] = [("started", {"steps": 30, "resumed_from": None})]
        for step in range(1, 31):
            bodies.append(("step", {"step": step, "loss": 3 / step, "learning_rates": {"language": 1e-5 * step}}))
        bodies.append(("evaluation", {"step": 30, "losses": {"report": {"loss": 1.0, "samples": 3, "tokens": 9}}}))
        for place, (kind, body) in enumerate(bodies):
            connection.exec_driver_sql(
                "INSERT INTO event (run_id, file, offset, kind, body) VALUES (?, 'rank0.spool.jsonl', ?, ?, ?)",
                (run.id, place, kind, json.dumps(body)),
            )


def _calls(store: Store, run: Run) -> None:
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO prompt (id, hash, name, model, parameters, messages, run_id) "
            "VALUES (1, 'h', 'curate', 'gpt', '{}', x'00', ?)",
            (run.id,),
        )
        connection.exec_driver_sql(
            "INSERT INTO llm_call (key, prompt_id, asked, status, provider, host, input_tokens, output_tokens, cost, "
            "tier, attempts, answered_at, run_id) VALUES ('k', 1, x'00', 'ok', 'openai', 'secret-host', 900, 80, "
            "'1.25', 'standard', 1, '2026-01-01T00:00:00+00:00', ?)",
            (run.id,),
        )
