"""What a report says is there, is not there, or may be there."""

from __future__ import annotations

import pytest

from radvlm_cli.language.findings import denied_by, findings, narrower


def said(text: str) -> list[tuple[str, str]]:
    return [(finding.concept, finding.polarity) for finding in findings(text)]


def absent(text: str) -> set[str]:
    return {finding.concept for finding in findings(text) if finding.polarity == "absent"}


def present(text: str) -> set[str]:
    return {finding.concept for finding in findings(text) if finding.polarity == "present"}


@pytest.mark.parametrize(
    "text",
    [
        "No consolidation, effusion or pneumothorax.",
        "There is no focal consolidation, large pleural effusion, or pneumothorax.",
        "Negative for consolidation, effusion, or pneumothorax.",
        "No evidence of consolidation, effusion, or pneumothorax is seen.",
        "Free of consolidation, effusion and pneumothorax.",
        "Clear of consolidation, effusion or pneumothorax.",
        "without consolidation, effusion or pneumothorax",
        "Neither consolidation nor effusion nor pneumothorax.",
        "Consolidation, effusion and pneumothorax are not seen.",
        "NO CONSOLIDATION, EFFUSION OR PNEUMOTHORAX.",
    ],
)
def test_a_negation_reaches_over_a_list(text: str) -> None:
    assert set(said(text)) == {("consolidation", "absent"), ("effusion", "absent"), ("pneumothorax", "absent")}


@pytest.mark.parametrize(
    "text",
    [
        "No pneumothorax but there is an effusion.",
        "No pneumothorax; effusion is present.",
        "No pneumothorax. Effusion.",
        "No pneumothorax is seen and the effusion is small.",
        "No pneumothorax, there is an effusion.",
        "No pneumothorax\n\nEffusion",
        "- no pneumothorax\n- effusion",
        "No pneumothorax Effusion is small.",
        "Effusion without pneumothorax.",
    ],
)
def test_a_negation_ends_with_its_clause(text: str) -> None:
    assert set(said(text)) == {("pneumothorax", "absent"), ("effusion", "present")}


@pytest.mark.parametrize(
    "text",
    [
        "Possible pneumonia.",
        "This may represent pneumonia.",
        "Findings suggestive of pneumonia.",
        "Concerning for pneumonia.",
        "Pneumonia cannot be excluded.",
        "Cannot exclude pneumonia.",
        "Pneumonia is not entirely excluded.",
    ],
)
def test_doubt_is_neither_presence_nor_absence(text: str) -> None:
    assert said(text) == [("pneumonia", "uncertain")]


def test_doubt_leaves_what_stands_before_it() -> None:
    assert said("Left basilar opacity may represent atelectasis.") == [
        ("opacity", "present"),
        ("atelectasis", "uncertain"),
    ]


def test_versus_puts_both_in_doubt() -> None:
    assert said("Atelectasis versus infiltrate.") == [("atelectasis", "uncertain"), ("infiltrate", "uncertain")]


@pytest.mark.parametrize(
    "text",
    [
        "Heart size is normal.",
        "The heart is normal in size.",
        "Heart size within normal limits.",
        "Normal heart size.",
        "The heart is not enlarged.",
        "No cardiomegaly.",
        "The mediastinum, heart and hila are unremarkable.",
    ],
)
def test_a_normal_heart_denies_cardiomegaly(text: str) -> None:
    assert absent(text) == {"cardiomegaly"}


@pytest.mark.parametrize(
    "text",
    ["The heart is mildly enlarged.", "Cardiomegaly.", "Enlargement of the cardiac silhouette.", "Heart is large."],
)
def test_an_enlarged_heart_is_cardiomegaly(text: str) -> None:
    assert said(text) == [("cardiomegaly", "present")]


@pytest.mark.parametrize("text", ["The lungs are clear.", "Clear lungs.", "Lungs are grossly clear bilaterally."])
def test_clear_lungs_are_a_state_of_their_own(text: str) -> None:
    assert present(text) == {"clear lungs"}


def test_lungs_that_are_not_clear_deny_that_they_are() -> None:
    assert said("The lungs are not clear.") == [("clear lungs", "absent")]


def test_one_predicate_is_said_of_each_of_its_subjects() -> None:
    assert {*said("The heart, aorta and bony structures are unremarkable.")} == {
        ("cardiomegaly", "absent"),
        ("normal aorta", "present"),
        ("normal bones", "present"),
    }


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("No new effusion.", "effusion"),
        ("No significant change in the effusion.", "effusion"),
        ("There is no worsening consolidation.", "consolidation"),
    ],
)
def test_no_change_of_a_finding_denies_nothing(text: str, concept: str) -> None:
    assert said(text) == [(concept, "uncertain")]


@pytest.mark.parametrize(
    "text",
    ["The edema has resolved.", "The edema is absent.", "Resolution of edema.", "Edema is excluded."],
)
def test_what_has_resolved_or_is_ruled_out_is_absent(text: str) -> None:
    assert said(text) == [("edema", "absent")]


@pytest.mark.parametrize("text", ["Near-complete resolution of the edema.", "Partial clearing of edema."])
def test_what_has_resolved_in_part_is_present(text: str) -> None:
    assert said(text) == [("edema", "present")]


@pytest.mark.parametrize(
    "text", ["The chest tube was removed.", "Chest tube has been removed.", "Removal of chest tube."]
)
def test_a_device_that_was_removed_is_absent(text: str) -> None:
    assert said(text) == [("chest tube", "absent")]


@pytest.mark.parametrize("text", ["Heart size is at the upper limits of normal.", "The heart is borderline enlarged."])
def test_a_heart_of_borderline_size_is_uncertain(text: str) -> None:
    assert said(text) == [("cardiomegaly", "uncertain")]


def test_granulomatous_infection_is_no_pneumonia() -> None:
    assert said("Sequelae of granulomatous infection.") == [("granuloma", "present")]


def test_the_longer_term_counts() -> None:
    assert said("Pericardial effusion.") == [("pericardial effusion", "present")]


@pytest.mark.parametrize("text", ["effusions", "opacities", "pneumothoraces", "metastases"])
def test_plurals_are_known(text: str) -> None:
    assert len(said(text)) == 1


@pytest.mark.parametrize("text", ["", "   \n", "2 images.", "Comparison: none.", "...", "The patient is rotated."])
def test_no_finding_is_in_words_about_the_study(text: str) -> None:
    assert findings(text) == []


def test_places_are_those_in_the_text() -> None:
    text = "1. No  pleural\neffusion.\n\n2. Cardi\u00f6 \u0130 text. Kerley B lines on the left."
    assert [text[f.start : f.end] for f in findings(text)] == ["effusion", "Kerley B lines"]


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("Right effusion.", {"right"}),
        ("Effusion on the left.", {"left"}),
        ("Bilateral effusion.", {"left", "right"}),
        ("Effusion, right greater than left.", {"left", "right"}),
        ("Effusion. Left clavicle.", set()),
    ],
)
def test_a_finding_has_the_sides_of_its_clause(text: str, sides: set[str]) -> None:
    assert findings(text)[0].sides == sides


def test_a_wider_word_includes_the_narrower_ones() -> None:
    assert {"opacity", "pneumonia"} <= narrower("opacity")
    assert "opacity" not in narrower("pneumonia")


def test_clear_lungs_deny_opacities_but_not_effusions() -> None:
    assert "opacity" in denied_by("clear lungs")
    assert "effusion" not in denied_by("clear lungs")


def test_lungs_that_are_clear_of_a_finding_do_not_have_it() -> None:
    assert ("consolidation", "absent") in said("The lungs are otherwise clear of focal airspace disease.")


def test_places_of_findings_are_places_in_the_whole_text() -> None:
    text = "1. Clear lungs:  no effusion.\nAn effusion?  Nodule; no effusion"
    assert [text[f.start : f.end].lower() for f in findings(text)] == [
        "clear lungs",
        "effusion",
        "effusion",
        "nodule",
        "effusion",
    ]
    assert [f.polarity for f in findings(text)][1:] == ["absent", "present", "present", "absent"]
