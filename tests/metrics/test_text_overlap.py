"""BLEU, CIDEr-D and ROUGE against the packages that the field uses."""

from __future__ import annotations

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu as OracleBleu
from pycocoevalcap.cider.cider import Cider as OracleCider
from rouge_score.rouge_scorer import RougeScorer

from radvlm_cli.metrics.bleu import Bleu
from radvlm_cli.metrics.cider import CiderD
from radvlm_cli.metrics.family import Family
from radvlm_cli.metrics.rouge import Rouge, common_subsequence
from radvlm_cli.metrics.words import TOKENIZERS, Tokens, words
from tests.metrics.texts import pairs

PREDICTIONS, REFERENCES = pairs(60)
SPLITS: tuple[Tokens, ...] = ("words", "raw")


def scores(family: Family, predictions: list[str], references: list[str]) -> dict[str, float]:
    """Values over all samples."""
    table = family.per_sample(predictions, references)
    assert table.shape == (len(predictions), len(family.columns))
    return {name: float(value) for name, value in family.values(table.sum(0)).items()}


def captions(texts: list[str], tokens: Tokens) -> dict[int, list[str]]:
    """As pycocoevalcap wants them, split as we do."""
    return {number: [" ".join(TOKENIZERS[tokens](text))] for number, text in enumerate(texts)}


@pytest.mark.parametrize("tokens", SPLITS)
def test_bleu_is_that_of_pycocoevalcap_for_a_corpus_and_for_every_part_of_it(tokens: Tokens) -> None:
    family = Bleu(tokens)
    table = family.per_sample(PREDICTIONS, REFERENCES)
    for part in (slice(None), slice(0, 20), slice(40, None)):
        expected, _ = OracleBleu(4).compute_score(
            captions(REFERENCES[part], tokens), captions(PREDICTIONS[part], tokens), verbose=0
        )
        found = list(family.values(table[part].sum(0)).values())
        assert found == pytest.approx(expected, abs=1e-7)
        assert expected[3] > 0.1


def test_bleu_of_the_published_split_is_sacrebleus_without_its_tokenizer() -> None:
    import sacrebleu

    oracle = sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES], tokenize="none", smooth_method="none", force=True)
    assert scores(Bleu("raw"), PREDICTIONS, REFERENCES)["bleu_4_raw"] == pytest.approx(oracle.score / 100, abs=1e-9)


def test_bleu_is_plain_zero_where_pycocoevalcap_smooths_by_a_millionth() -> None:
    found = scores(Bleu(), ["no effusion"], ["no effusion"])
    assert found == {"bleu_1": 1.0, "bleu_2": 1.0, "bleu_3": 0.0, "bleu_4": 0.0}
    smoothed, _ = OracleBleu(4).compute_score({0: ["no effusion"]}, {0: ["no effusion"]}, verbose=0)
    assert smoothed[2] > 0
    assert scores(Bleu(), ["", ""], ["no effusion", "clear"])["bleu_1"] == 0.0
    assert np.isnan(scores(Bleu(), [""], ["."])["bleu_1"])


@pytest.mark.parametrize("tokens", SPLITS)
def test_cider_d_is_that_of_pycocoevalcap_sample_by_sample(tokens: Tokens) -> None:
    family = CiderD(tokens)
    mean, each = OracleCider().compute_score(captions(REFERENCES, tokens), captions(PREDICTIONS, tokens))
    table = family.per_sample(PREDICTIONS, REFERENCES)
    assert table[:, 0] == pytest.approx(each, abs=1e-7)
    assert family.values(table.sum(0))[family.name] == pytest.approx(mean, abs=1e-7)
    assert 1 < mean < 9


def test_cider_d_keeps_the_frequencies_of_its_corpus_whatever_is_scored() -> None:
    whole = CiderD().per_sample(PREDICTIONS, REFERENCES)
    part = CiderD(corpus=REFERENCES).per_sample(PREDICTIONS[5:7], REFERENCES[5:7])
    assert part == pytest.approx(whole[5:7], abs=1e-12)
    assert CiderD().per_sample(PREDICTIONS[5:7], REFERENCES[5:7]) != pytest.approx(part, abs=1e-3)


def test_cider_d_of_a_single_report_is_undefined() -> None:
    assert np.isnan(scores(CiderD(), ["no effusion"], ["no effusion"])["cider_d"])


def test_rouge_is_that_of_rouge_score_sample_by_sample() -> None:
    oracle = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    table = Rouge().per_sample(PREDICTIONS, REFERENCES)
    for row, prediction, reference in zip(table, PREDICTIONS, REFERENCES, strict=True):
        expected = oracle.score(reference, prediction)
        assert row[:3] == pytest.approx([score.fmeasure for score in expected.values()], abs=1e-12)


def test_the_longest_common_subsequence_of_long_texts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        left, right = (list(map(str, rng.integers(0, 5, rng.integers(0, 200)))) for _ in range(2))
        table = np.zeros((len(left) + 1, len(right) + 1), int)
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
        assert common_subsequence(left, right) == table[-1, -1]


@pytest.mark.parametrize("family", [Bleu(), Bleu("raw"), CiderD(), Rouge()], ids=lambda family: family.name)
def test_values_of_a_stack_of_sums_are_those_of_each_and_an_answer_left_out_lowers_them(family: Family) -> None:
    table = family.per_sample(PREDICTIONS, REFERENCES)
    assert np.isfinite(table).all()
    weights = np.random.default_rng(1).multinomial(len(table), np.full(len(table), 1 / len(table)), (3, 2))
    together = family.values(weights @ table)
    for index in np.ndindex(3, 2):
        alone = family.values(weights[index] @ table)
        assert {name: float(value) for name, value in alone.items()} == pytest.approx(
            {name: float(value[index]) for name, value in together.items()}
        )
    whole = scores(family, PREDICTIONS, REFERENCES)
    failed = scores(family, ["", *PREDICTIONS[1:]], REFERENCES)
    assert all(failed[name] < whole[name] for name in whole)


def test_words_are_lower_case_without_punctuation_and_without_the_blanks_of_deidentification() -> None:
    text = "Right-sided PICC, tip 2.5 cm above ___. Patient's heart: normal (5/6).No  change"
    assert words(text) == [
        *("right-sided", "picc", "tip", "2.5", "cm", "above", "patient's", "heart", "normal", "5/6", "no", "change")
    ]
    assert words("clear.No effusion:none,seen 1,000 10:30") == [
        *("clear", "no", "effusion", "none", "seen", "1,000", "10:30")
    ]
    assert words("Herzgröße 3 cm² patient\N{RIGHT SINGLE QUOTATION MARK}s") == ["herzgröße", "3", "cm2", "patient's"]
    assert words("... --- ''") == []


@pytest.mark.parametrize("family", [Bleu(), CiderD(), Rouge()], ids=lambda family: family.name)
def test_nothing_to_score_is_undefined_and_a_runaway_answer_is_scored_in_no_time(family: Family) -> None:
    nothing = family.per_sample([], [])
    assert nothing.shape == (0, len(family.columns))
    assert all(np.isnan(value) for value in family.values(nothing.sum(0)).values())
    endless = family.per_sample(["no effusion " * 5_000, "\ud800 \x00 \u2028"], ["no effusion", "heart"])
    assert np.isfinite(endless).all()
    assert all(value[0] < 0.1 for value in family.values(endless).values())
