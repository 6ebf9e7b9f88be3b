"""What a text made from a report must not do."""

from __future__ import annotations

from itertools import combinations

import pytest

from radvlm_cli.language.report_checks import has_content, lost, report_faults, unsupported

SENTENCES = (
    "Heart size is mildly enlarged.",
    "There is a 1.2 x 3 cm nodule in the right upper lobe.",
    "No pleural effusion or pneumothorax.",
    "The mediastinal contours are unremarkable.",
    "Left basilar opacity may represent atelectasis.",
)
SOURCE = " ".join(SENTENCES)


def reasons(text: str, source: str) -> list[str]:
    return [fault.reason for fault in report_faults(text, source)]


@pytest.mark.parametrize("size", range(1, len(SENTENCES) + 1))
def test_sentences_of_the_source_are_no_fault_but_for_what_is_left_out(size: int) -> None:
    for kept in combinations(SENTENCES, size):
        assert unsupported(" ".join(kept), SOURCE) == []
        # An opacity that is spoken of, even in doubt, is a wider word for the nodule.
        gone = [sentence for sentence in SENTENCES[:2] if sentence not in kept]
        if SENTENCES[4] in kept:
            gone = [sentence for sentence in gone if sentence != SENTENCES[1]]
        assert reasons(" ".join(kept), SOURCE) == ["a finding of the source is lost"] * bool(gone)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("No pneumothorax.", "No pneumothorax. The effusion has resolved since the prior study."),
        ("No pneumothorax.", "No pneumothorax. Heart size is normal. No effusion."),
        ("No pneumothorax.", "No pneumothorax. Possible edema."),
        ("There is a consolidation.", "There is a consolidation. An opacity is in the left base."),
        ("There is an opacity.", "There is a consolidation."),
    ],
    ids=["compared", "normal or absent", "uncertain", "narrower", "wider"],
)
def test_what_may_be_left_out(text: str, source: str) -> None:
    assert lost(text, source) == []


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("There is an opacity.", "There is a consolidation."),
        ("A device is in place.", "A pacemaker is in place."),
        ("No pneumonia.", "No opacity."),
        ("No focal opacity.", "The lungs are clear."),
        ("Clear lungs.", "Normal chest."),
        ("Pneumonia.", "Possible pneumonia."),
        ("No definite pneumonia.", "Pneumonia cannot be excluded."),
        ("A 12 mm nodule.", "A 1.2 cm nodule."),
        ("Bibasilar opacities.", "Opacities at both lung bases."),
        ("Bilateral effusions.", "Left effusion. Right effusion."),
        ("Normal heart size. Normal mediastinal contours.", "Heart size and mediastinal contours are normal."),
        ("No pulmonary edema.", "The pulmonary edema has resolved."),
    ],
)
def test_a_faithful_paraphrase_is_no_fault(text: str, source: str) -> None:
    assert unsupported(text, source) == []


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("There is a consolidation.", "a finding that the source does not have", "consolidation"),
        ("Pleural effusion.", "a finding that the source does not have", "effusion"),
        ("The lungs are clear.", "a finding that the source does not have", "lungs are clear"),
        ("No rib fracture.", "a denial that the source does not have", "fracture"),
        ("The heart is normal.", "a denial that the source does not have", "heart is normal"),
        ("A 1.3 cm nodule.", "a measurement that the source does not have", "1.3 cm"),
        ("A 1.2 mm nodule.", "a measurement that the source does not have", "1.2 mm"),
        ("Nodule in the left upper lobe.", "a finding on a side where the source does not have it", "Nodule"),
    ],
)
def test_what_the_source_does_not_say_is_a_fault(text: str, reason: str, words: str) -> None:
    assert unsupported(text, SOURCE) == [(reason, words)]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Left lower lobe atelectasis.", "LEFT LOWER LOBE ATELECTSIS."),
        ("No pneumothorax.", "No pneumothrax."),
        ("A nodule in the right upper lobe.", "A nodule in the RUL."),
    ],
)
def test_mended_spelling_and_abbreviations_are_no_fault(text: str, source: str) -> None:
    assert report_faults(text, source) == []


@pytest.mark.parametrize(
    ("text", "source"),
    [("Pneumothorax.", "No pneumothrax."), ("The lungs are hyperinflated.", "The lungs are hypoinflated.")],
)
def test_likeness_of_words_excuses_no_invention(text: str, source: str) -> None:
    assert [fault.reason for fault in unsupported(text, source)] == ["a finding that the source does not have"]


@pytest.mark.parametrize(
    ("text", "side"), [("The left lung.", "left"), ("On the right.", "right"), ("Bilateral.", "both")]
)
def test_a_side_that_the_source_never_names_is_a_fault(text: str, side: str) -> None:
    assert unsupported(text, "Cardiomegaly.") == [("a side that the source does not have", side)]


def test_a_narrower_word_than_the_sources_is_an_invention() -> None:
    assert reasons("Pneumonia.", "Basilar opacity.") == ["a finding that the source does not have"]


def test_no_acute_process_does_not_deny_each_finding() -> None:
    assert reasons("No pneumothorax.", "No acute cardiopulmonary process.") == [
        "a denial that the source does not have"
    ]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_a_fault(text: str) -> None:
    assert reasons(text, SOURCE) == ["the text is empty"]


def test_comparison_language_is_a_fault_also_where_the_source_has_it() -> None:
    text = "Small effusion, unchanged since the prior study."
    assert reasons(text, text) == ["comparison language is left"]


def test_words_about_the_text_are_a_fault() -> None:
    assert reasons(f"Sure! {SOURCE}", SOURCE) == ["words that are not report text"]


def test_words_about_the_text_are_the_sources_if_it_has_them() -> None:
    assert reasons("Note: nodule.", "NOTE: nodule.") == []


def test_a_text_may_not_be_much_longer_than_its_source() -> None:
    assert reasons(f"{SOURCE} {SOURCE}", SOURCE) == ["longer than the source"]
    assert reasons(f"{SOURCE} Heart size is mildly enlarged.", SOURCE) == []


def test_reasons_hold_no_words_of_the_text() -> None:
    text = "Xylophone fracture. No granuloma. Sure! A 9 cm left effusion, unchanged."
    faults = report_faults(text, "Cardiomegaly.")
    assert len({fault.reason for fault in faults}) == len(faults) == 8
    assert not any(word in fault.reason for fault in faults for word in ("granuloma", "9", "fracture", "Sure"))


@pytest.mark.parametrize(
    "source", ["No effusion.", "The lungs are clear.", "Unremarkable.", "A pacemaker.", "Possible edema."]
)
def test_a_report_with_a_finding_a_state_or_a_device_has_content(source: str) -> None:
    assert has_content(source)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "Two views.",
        "Physician to Physician Radiology Consult Line: ___.",
        "The patient is rotated.",
        "Findings were discussed by telephone.",
    ],
)
def test_a_report_about_the_study_alone_has_none(source: str) -> None:
    assert not has_content(source)


def test_a_long_row_of_numbers_takes_no_long_time() -> None:
    row = "1 x " * 50_000
    assert [fault.reason for fault in unsupported(f"{row} 2 cm", row)] == [
        "a measurement that the source does not have"
    ]


def test_a_repeated_sentence_is_judged_by_each_reports_own_words() -> None:
    for _ in range(2):  # what was read before is remembered
        assert reasons("Left effusion.", "Left effusion. No edema.") == []
        assert reasons("Left effusion.", "No left effusion.") == ["a finding that the source does not have"]
        assert reasons("Left effusion.", "Right effusion. Left nodule.") == [
            "a finding on a side where the source does not have it",
            "a finding of the source is lost",
        ]
