"""Comparison language: what is found, and what is let through."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from radvlm_cli.language.temporal import FAMILIES, Mention, comparisons
from radvlm_cli.language.temporal import INNOCENT as LET_THROUGH

COMPARING = {
    "Prior study of ___.": "prior",
    "Previously seen effusion.": "previous",
    "Compared to the left lung on the earlier film.": "earlier",
    "Comparison: none.": "compared",
    "The heart is unchanged.": "unchanged",
    "Smaller than on the film of Monday.": "size",
    "Findings have not significantly changed.": "unchanged",
    "No significant change.": "change",
    "Interval placement of a chest tube.": "interval",
    "No new consolidation.": "new",
    "Newly seen nodule.": "new",
    "Scarring is again noted.": "again",
    "Redemonstrated scarring.": "again",
    "Re-demonstrated scarring.": "again",
    "Stable cardiomegaly.": "stable",
    "Effusion since ___.": "since",
    "Persistent edema.": "persistent",
    "The heart remains large.": "remains",
    "Still a small effusion.": "remains",
    "No residual pneumothorax.": "residual",
    "Recurrent effusion.": "recurrent",
    "Improved aeration.": "improved",
    "Worsening edema.": "worsened",
    "The edema is slightly worse.": "worsened",
    "The effusion has increased.": "increased",
    "Increased left pleural effusion.": "increased",
    "Increasing opacity.": "increased",
    "Decreased right effusion.": "decreased",
    "The pneumothorax is slightly larger.": "size",
    "The effusion has resolved.": "resolved",
    "Resolving edema.": "resolved",
    "Progressive volume loss.": "progressed",
    "Developing consolidation.": "developing",
    "The tube has been removed.": "placed",
    "A pacemaker has been placed.": "placed",
    "The effusion is no longer seen.": "no longer",
    "The lungs are now clear.": "now",
    "Seen on the last exam.": "earlier",
    "Scarring as before.": "earlier",
    "Seen on a recent CT.": "other study",
    "Chest radiograph from ___.": "other study",
    "The heart appears similar.": "similar",
    "Follow-up to the study of Monday.": "follow-up",
}
INNOCENT = [
    "Prior cholecystectomy.",
    "Status post prior right upper lobe resection.",
    "Sequelae of prior granulomatous disease.",
    "Previous median sternotomy and bypass surgery.",
    "There has been previous resection of the left sixth rib.",
    "Increased density at the left base.",
    "Increased lung markings.",
    "Increased interstitial markings.",
    "Increased AP diameter of the chest.",
    "There is increased tortuosity of the aorta.",
    "Hyperinflated lungs with increased retrosternal airspace.",
    "Decreased lung volumes.",
    "The lung volumes are decreased.",
    "The patient is clinically stable.",
    "Hemodynamically stable patient.",
    "The PR interval is long.",
    "Short interval follow-up is advised.",
    "Improved inspiration would help.",
    "Please repeat again with the arms raised.",
    "Since the patient is rotated, the heart looks large.",
    "Since there is rotation, the hila can't be judged.",
    "Remote fracture of the right clavicle.",
    "Old healed rib fractures.",
    "Chronic interstitial changes.",
    "Degenerative changes of the spine.",
    "Recommend follow-up in 6 weeks to document resolution.",
    "If symptoms persist, obtain a CT.",
    "The remainder of the lungs is clear.",
    "High-resolution CT is advised.",
    "Effusions, left worse than right.",
    "The right hemidiaphragm is elevated compared to the left.",
    "New paragraph.",
    "No acute cardiopulmonary process.",
]


@pytest.mark.parametrize(("text", "term"), COMPARING.items(), ids=COMPARING.keys())
def test_comparison_language_is_found(text: str, term: str) -> None:
    assert term in [mention.term for mention in comparisons(text)]


@pytest.mark.parametrize("text", INNOCENT, ids=INNOCENT)
def test_the_present_the_history_and_recommendations_are_let_through(text: str) -> None:
    assert comparisons(text) == []


def test_what_makes_a_look_a_change_is_found() -> None:
    assert comparisons("Lung volumes are decreased.") == []
    assert [mention.term for mention in comparisons("Lung volumes are decreased since ___.")] == ["decreased", "since"]


def test_every_family_finds_something() -> None:
    found = {mention.term for text in COMPARING for mention in comparisons(text)}
    assert set(FAMILIES) - found <= {"event"}


def test_an_event_without_a_history_is_found() -> None:
    assert [mention.term for mention in comparisons("There has been a shift to the left.")] == ["event"]


def test_a_mention_is_where_it_stands_in_the_text() -> None:
    text = "\u0130 Clear.  STABLE\n heart, no\n  longer large."
    mentions = comparisons(text)
    assert [text[mention.start : mention.end] for mention in mentions] == ["STABLE", "no\n  longer"]
    assert mentions[0] == Mention(10, 16, "stable")


def test_parts_of_words_are_not_found() -> None:
    assert comparisons("Unstable renewal, apriori, sincere, restless.") == []


def test_labels_hold_no_text_and_both_halves_have_both_labels() -> None:
    path = Path(__file__).parent.parent / "data" / "temporal_labels.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) >= 320
    assert list(rows[0]) == ["report", "section", "sentence", "sha256_12", "stratum", "half", "label"]
    assert all(len(value) <= 12 for row in rows for value in row.values())
    kinds = {(row["half"], row["stratum"], row["label"]) for row in rows}
    assert len(kinds) == 8
    assert len({(row["report"], row["half"]) for row in rows}) == len({row["report"] for row in rows})


def test_no_pattern_goes_on_over_the_end_of_a_stretch() -> None:
    syntax = re.compile(r"\(\?(?:[:=!]|<[=!])|(?<=[-\w )\]}*+])\?")
    for pattern in (*LET_THROUGH, *(pattern for family in FAMILIES.values() for pattern in family)):
        assert not set(".!?;:") & set(syntax.sub("", pattern.replace("(?=[.:]|$)", ""))), (
            f"{pattern}: stretches are read one by one"
        )


def test_places_of_comparisons_are_places_in_the_whole_text() -> None:
    text = "Clear lungs: stable.  No new edema;\nunchanged scar"
    assert [text[m.start : m.end] for m in comparisons(text)] == ["stable", "new", "unchanged"]
