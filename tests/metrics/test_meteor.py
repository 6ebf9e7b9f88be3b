from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.meteor import MODULES, Meteor
from tests.metrics.texts import pairs

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="needs java")


def test_what_is_missing_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    needs = Meteor(tmp_path / "meteor-1.5.jar").missing()
    assert [need.what.split()[0] for need in needs] == ["java", "meteor-1.5.jar,"]
    assert needs[1].command == "pip install -c constraints.txt '.[meteor]'"


def test_the_formula_on_counts_that_are_worked_out_by_hand() -> None:
    """The heart is normal in size / the cardiac silhouette is normal, as METEOR 1.5 aligns and scores them."""
    assert tuple(MODULES) == ("exact", "stem", "synonym", "paraphrase")
    row = np.array([5, 6, 2, 3, 1, 1, 2, 2, *[0] * 8, 1, 1, 0, 0, 2, 4, 4], float)
    family = Meteor()
    assert len(row) == len(family.columns)
    precision = (0.75 * 1 + 0.25 * 2 + 0.6 * 0.75) / (0.75 * 3 + 0.25 * 2)
    recall = (0.75 * 1 + 0.25 * 2 + 0.6 * 0.75) / (0.75 * 3 + 0.25 * 3)
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    expected = mean * (1 - 0.6 * (2 / 4) ** 0.2)
    assert family.values(row)["meteor"] == pytest.approx(expected)
    assert expected == pytest.approx(0.2741057976161868)
    nothing_matched = np.array([0, 6, 0, 3, *[0] * 19], float)
    assert family.values(np.stack([row, nothing_matched]))["meteor"] == pytest.approx([expected, 0.0])
    assert np.isnan(family.values(np.zeros(23))["meteor"])


def test_a_program_that_fails_is_an_error_and_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no memory"):
        Meteor().per_sample(["a"], ["a"])
    java.write_text("#!/bin/sh\necho 1.0 2.0\n")
    with pytest.raises(DataError, match="1 lines to 2"):
        Meteor().per_sample(["a", "b"], ["a", "b"])


@pytest.mark.slow
@needs_java
def test_meteor_is_that_of_the_java_program_by_sample_and_over_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from pycocoevalcap.meteor.meteor import Meteor as Oracle

    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dfile.encoding=UTF-8")
    predictions, references = pairs(40)
    oracle = Oracle()
    texts = [{n: [" ".join(text.split())] for n, text in enumerate(side)} for side in (references, predictions)]
    whole, each = oracle.compute_score(*texts)
    oracle.meteor_p.stdout.close()
    oracle.meteor_p.stderr.close()
    family = Meteor()
    assert family.missing() == ()
    table = family.per_sample(predictions, references)
    assert family.values(table)["meteor"] == pytest.approx(each, abs=1e-9)
    assert family.values(table.sum(0))["meteor"] == pytest.approx(whole, abs=1e-9)
