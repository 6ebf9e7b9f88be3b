"""Reports without comparisons: what stays, what goes, and what must never be added."""

from __future__ import annotations

import re
from itertools import product

import pytest

from radvlm_cli.demo.findings import KINDS, Finding
from radvlm_cli.demo.mimic_reports import KINDS as REPORTS
from radvlm_cli.demo.mimic_reports import write_report
from radvlm_cli.demo.sentences import CHANGES, Change, comparison, denials, phrase, sentence
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.language.temporal import comparisons

ADDED = {"there", "is", "are", "a", "an", "seen", "no"}
REWRITTEN = {
    # adjectives and adverbs
    "Stable cardiomegaly": "Cardiomegaly.",
    "Unchanged small left effusion.": "Small left effusion.",
    "Persistent but decreased left effusion.": "Left effusion.",
    "Grossly stable mild scoliosis.": "Mild scoliosis.",
    "There is an unchanged nodule.": "There is a nodule.",
    "There is a stable opacity.": "There is an opacity.",
    "Stable cardiomegaly without edema.": "Cardiomegaly without edema.",
    "No new focal consolidation.": "No focal consolidation.",
    "No residual pneumothorax.": "No pneumothorax.",
    # seen again, still there
    "The nodule is again seen.": "The nodule is seen.",
    "Again noted is a left basilar opacity.": "There is a left basilar opacity.",
    "Redemonstration of a left nodule.": "Left nodule.",
    "The heart remains large.": "The heart is large.",
    "There remains a small effusion.": "There is a small effusion.",
    "A left pleural effusion persists.": "There is a left pleural effusion.",
    # predicates
    "Heart size is unchanged and within normal limits.": "Heart size is within normal limits.",
    "Heart is mildly enlarged but stable.": "Heart is mildly enlarged.",
    "The right pleural effusion has increased since ___.": "There is a right pleural effusion.",
    "Bilateral effusions have decreased in size.": "There are bilateral effusions.",
    "The effusion has not changed.": "There is an effusion.",
    "Cardiomegaly similar to the prior study.": "Cardiomegaly.",
    "The effusion appears smaller than on the prior study.": "There is an effusion.",
    "A chest tube has been placed.": "There is a chest tube.",
    "Consolidation has developed in the left lower lobe.": "There is a consolidation in the left lower lobe.",
    "Interval placement of a left PICC.": "Left PICC.",
    "There has been interval development of bibasilar opacities.": "There are bibasilar opacities.",
    "No change in the left lower lobe scarring.": "Left lower lobe scarring.",
    "Normal heart, the effusion is unchanged.": "Normal heart, there is an effusion.",
    # clauses and phrases
    "In comparison with the prior study, there is a small effusion.": "There is a small effusion.",
    "Compared to ___, the lungs are clear.": "The lungs are clear.",
    "Scarring at the left base, unchanged from ___.": "Scarring at the left base.",
    "Scarring at the left base as before.": "Scarring at the left base.",
    "Left subclavian catheter in unchanged position.": "Left subclavian catheter.",
    "Heart size is normal, stable mediastinal contours.": "Heart size is normal.",
    "No effusion, worsening edema, or pneumothorax.": "No effusion, or pneumothorax.",
    "No interval change, effusion or pneumothorax.": "No effusion or pneumothorax.",
    "Opacity consistent with developing infection.": "Opacity consistent with infection.",
    "Stable chest with no effusion.": "No effusion.",
    # lists that share a predicate
    "Effusion, edema and consolidation have increased.": "There are effusion, edema and consolidation.",
    "Scarring, granulomas, and clips are unchanged.": "There are scarring, granulomas, and clips.",
    "Normal heart, effusion and edema have resolved.": "Normal heart.",
    "Cardiomegaly, effusion has resolved.": "Cardiomegaly.",
    "Cardiomegaly, no edema, and the effusions have resolved.": "Cardiomegaly, no edema.",
    "Heart is large, effusion, which has resolved.": "Heart is large.",
    "Heart is large, effusion, which has partially resolved.": "Heart is large, effusion.",
    "Interval removal of a chest tube with small pneumothorax.": "Small pneumothorax.",
    "Interval removal of a chest tube, small pneumothorax.": "Small pneumothorax.",
    "Clear lungs, interval removal of the ET tube, NG tube and PICC.": "Clear lungs.",
    # adjectives before the one that is taken out
    "Mild, stable cardiomegaly.": "Mild cardiomegaly.",
    "Mild but stable cardiomegaly.": "Mild cardiomegaly.",
    "Opacities due to enlarging bilateral effusions.": "Opacities due to bilateral effusions.",
    "There is a large, unchanged mass.": "There is a large mass.",
    "No large, new effusion.": "No large effusion.",
    "THE EFFUSION HAS INCREASED SINCE ___. NO EDEMA.": "THERE IS AN EFFUSION. NO EDEMA.",
    "1. Stable cardiomegaly. 2. no edema": "Cardiomegaly. No edema.",
}
NOTHING_LEFT = [
    "No change since ___.",
    "Otherwise unchanged since ___.",
    "No interval change.",
    "Stable chest.",
    "Heart size is stable.",
    "The cardiomediastinal silhouette is unchanged.",
    "Lung volumes have decreased since ___.",
    "Decreased subcutaneous soft tissue since ___.",
    "Improved aeration of the left base.",
    "The left effusion has resolved.",
    "The nasogastric tube has been removed.",
    "The effusion is no longer seen.",
    "Consolidation, atelectasis and blunting have cleared in the interval.",
    "Effusion, edema, and a nodule are no longer seen.",
    "There is consolidation, edema, and effusion, which have cleared.",
    "There was an effusion, which has resolved.",
    "Pneumothorax, small, has resolved.",
    "A chest tube, an endotracheal tube, and a nasogastric tube have been removed.",
    "Interval resolution of effusion, edema and atelectasis.",
    "No effusion, edema or consolidation have developed.",
    "No large, increasing effusion.",
    "Interval resolution of the right effusion.",
    "No worsening edema.",
    "No increasing effusion.",
    "No interval development of effusion.",
    "No change or new opacity.",
    "Comparison: chest radiograph from ___.",
    "Lines and tubes are in unchanged position.",
    "However, it has decreased considerably.",
    "These were not present on the prior study and may represent infection.",
]
FINDINGS = [
    Finding(kind, sides, size, "lower", 0)  # type: ignore[arg-type]
    for kind, sides, size in product(KINDS, [("left",), ("right", "left")], ["small", "large"])
]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def name(finding: Finding) -> str:
    return phrase(finding).replace(" ", "-")


@pytest.mark.parametrize(("text", "expected"), REWRITTEN.items(), ids=REWRITTEN.keys())
def test_what_stands_in_the_present_is_kept(text: str, expected: str) -> None:
    assert without_comparisons(text) == expected


@pytest.mark.parametrize("text", NOTHING_LEFT, ids=NOTHING_LEFT)
def test_what_only_compares_is_dropped(text: str) -> None:
    assert without_comparisons(text) == ""
    assert without_comparisons(f"Clear lungs. {text} No edema.") == "Clear lungs. No edema."


def test_a_report_without_comparisons_stays_as_it_is() -> None:
    text = "1. Chronic changes,  e.g. scars; increased markings\n2. prior cholecystectomy"
    assert without_comparisons(text) == "1. Chronic changes, e.g. scars; increased markings 2. prior cholecystectomy"
    assert without_comparisons("") == ""


@pytest.mark.parametrize("text", [*REWRITTEN, *NOTHING_LEFT])
def test_nothing_is_added_and_a_second_pass_changes_nothing(text: str) -> None:
    result = without_comparisons(text)
    assert comparisons(result) == []
    assert words(result) <= words(text) | ADDED
    assert without_comparisons(result) == result


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("finding", FINDINGS, ids=name)
def test_phantom_comparisons_become_findings_of_the_present(finding: Finding, change: Change) -> None:
    result = without_comparisons(comparison(finding, change))
    if change == "unchanged":
        assert result == f"The {phrase(finding)} is seen."
    else:
        assert re.fullmatch(f"There (is an? |is |are ){re.escape(phrase(finding))}.", result)
        assert words(result) - words(phrase(finding)) <= ADDED


@pytest.mark.parametrize("finding", FINDINGS, ids=name)
def test_phantom_sentences_of_the_present_stay(finding: Finding) -> None:
    for text in [sentence(finding), *denials([finding]), *denials([])]:
        assert without_comparisons(text) == text


@pytest.mark.parametrize("kind", REPORTS)
def test_phantom_follow_up_reports_keep_all_that_the_first_report_says(kind: str) -> None:
    findings = [Finding("effusion", texture=1), Finding("nodule", texture=0), Finding("device", texture=3)]
    first = write_report(kind, findings, woman=True, follow_up=False)
    follow_up = write_report(kind, findings, woman=True, follow_up=True)
    for section in ("findings", "impression"):
        before, after = getattr(first, section), without_comparisons(getattr(follow_up, section))
        assert comparisons(after) == []
        assert bool(after) == bool(before)
        assert words(before) - ADDED <= words(after)


def test_a_phantom_follow_up_of_nothing_says_what_a_first_report_says() -> None:
    first, follow_up = (write_report("standard", [], woman=False, follow_up=later) for later in (False, True))
    assert without_comparisons(follow_up.findings) == without_comparisons(first.findings)
    assert without_comparisons(follow_up.impression) == first.impression
