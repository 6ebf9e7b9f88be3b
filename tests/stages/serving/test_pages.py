"""What `radvlm serve` shows: predictions with their boxes, ready questions; and nothing planted comes alive."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from radvlm_cli.stages.serving.queries import saved_queries
from tests.reporting.planted import SAMPLES, planted_store
from tests.stages.serving.asking import Asking, asking

PREDICTIONS = range(1, 9)  # evaluations: two models on four test sets
NOT_PLANTED = (
    *("quarantine", "leakage", "checkpoints", "problems"),
    *("worst_detection", "worst_reports", "worst_conversations"),
)
TABLES = ("run", "prediction", "test_sample", "parsed", "evaluation", "prediction_view", "component", "image")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_store(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def ask(planted: Path) -> Iterator[Asking]:
    before = hashlib.sha256(planted.read_bytes()).digest()
    with asking(planted) as client:
        yield client
    assert hashlib.sha256(planted.read_bytes()).digest() == before  # whatever was asked


def test_a_prediction_is_shown_with_picture_boxes_texts_and_scores(ask: Asking) -> None:
    page = ask("/prediction/1/0").text
    assert 'href="/picture/sample/1/0.jpg"' in page
    true, predicted = (re.findall(rf'<g class="{kind}">.*?</g>', page) for kind in ("true", "predicted"))
    corners = 'x="87.8" y="102.4" width="175.6" height="204.8"'  # 0.2 to 0.6 of 439 x 512
    assert corners in true[-1]  # the first is in the legend
    assert corners in predicted[-1]
    assert "PHRASETEXT" in page
    assert "ANSWERTEXT" in page
    assert "mIoU 0.000" in page  # position 0 was answered far off
    assert "mIoU 1.00" in ask("/prediction/1/4").text
    for link in ("/store/run/1", "/store/test_sample/1,0", "/store/prediction/1,0", "/prediction/1/1"):
        assert f'href="{link}"' in page


def test_a_dialogue_is_shown_round_by_round(ask: Asking) -> None:
    page = ask("/prediction/4/0").text
    rounds = re.findall(r'<p class="question">(.*?)</p>', page)
    assert [each.partition(" ")[0] for each in rounds] == ["PHRASETEXT", "And"]
    assert "REPORTTEXT" in page
    assert ">There.<" in page


def test_a_failed_answer_says_why_and_a_missing_picture_is_no_error(ask: Asking) -> None:
    assert "/secret-folder: ANSWERTEXT" in ask("/prediction/1/2").text
    page = ask("/prediction/1/5").text
    assert "image not found" in page
    assert "/picture/sample/1/5.jpg" not in page


@pytest.mark.parametrize("path", ["/prediction/1/9999", "/prediction/99/0", "/prediction/0/-1", "/prediction/1"])
def test_what_is_not_there_is_not_found(ask: Asking, path: str) -> None:
    assert ask(path).status_code == 404


def test_pictures_are_jpeg_files_of_the_store(ask: Asking) -> None:
    answer = ask("/picture/sample/1/0.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize("query", saved_queries(), ids=lambda query: query.name)
def test_every_ready_question_has_an_answer(ask: Asking, query: object) -> None:
    name = query.name  # type: ignore[attr-defined]
    answer = ask(f"/store/{name}.json?_shape=objects").json()
    assert answer["ok"], answer
    assert bool(answer["rows"]) != (name in NOT_PLANTED), answer
    assert ask(f"/store/{name}").status_code == 200


def test_the_worst_come_first_and_lead_to_their_pages(ask: Asking) -> None:
    rows = ask("/store/worst_boxes.json?_shape=array&evaluation=1").json()
    assert [row["iou"] for row in rows] == sorted(row["iou"] for row in rows)
    assert rows[0]["iou"] == 0.0
    assert rows[-1]["iou"] == 1.0
    assert len(rows) == SAMPLES
    assert f'href="/prediction/{rows[0]["prediction"]}"' in ask("/store/worst_boxes?evaluation=1").text


def test_answers_can_be_chosen_by_status(ask: Asking) -> None:
    rows = ask("/store/answers.json?_shape=array&evaluation=1&status=refused").json()
    assert [row["prediction"] for row in rows] == ["1/3"]


def test_cells_of_tables_lead_to_predictions_and_pictures(ask: Asking) -> None:
    assert 'href="/prediction/1/0"' in ask("/store/prediction").text
    assert 'href="/picture/sample/1/0.jpg"' in ask("/store/test_sample").text
    assert 'href="/picture/image/1.jpg"' in ask("/store/image").text


def _pages() -> list[str]:
    predictions = [f"/prediction/{evaluation}/{position}" for evaluation in PREDICTIONS for position in (0, 1, 2, 5)]
    queries = [f"/store/{query.name}" for query in saved_queries()]
    worst = [f"/store/answers?evaluation={evaluation}" for evaluation in PREDICTIONS]
    tables = [f"/store/{table}" for table in TABLES]
    return ["/", "/store", *predictions, *queries, *worst, *tables, "/store/prediction/1,0", "/store/evaluation/1"]


def test_nothing_planted_is_markup_on_any_page(ask: Asking) -> None:
    for path in _pages():
        answer = ask(path)
        assert answer.status_code == 200, path
        assert "<script>document" not in answer.text, path
        assert "<img" not in answer.text, path
        assert "Credentialed &lt;b&gt;&amp; restricted&lt;/b&gt;." in answer.text, path
        assert "Research use only" in answer.text, path


def test_addresses_in_texts_are_not_links(ask: Asking) -> None:
    for sql in ("select 'https://elsewhere.example/?x' as text", "select ' HTTPS://elsewhere.example' as prediction"):
        assert "elsewhere.example" in (page := ask("/store", params={"sql": sql}).text)
        assert set(re.findall(r'<a [^>]*href="\s*(https?:[^"]*)', page, re.IGNORECASE)) == {"https://datasette.io/"}
