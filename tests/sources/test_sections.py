import json
from pathlib import Path

import pytest

from radvlm_cli.sources.section_names import CUSTOM_RANGES, CUSTOM_SECTIONS
from radvlm_cli.sources.sections import extract, is_custom, single_section

GOLDEN = Path(__file__).parent.parent / "data" / "mimic_sections"
SECTIONS = ("impression", "findings", "last_paragraph", "comparison")


def golden_rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


def golden_text(study: str) -> str:
    return (GOLDEN / "reports" / f"{study}.txt").read_text()


def test_sections_equal_the_official_table():
    rows = golden_rows("sectioned.jsonl")
    assert len(rows) == 159
    for row in rows:
        found = extract(row["study"], golden_text(row["study"]))
        assert {name: getattr(found, name) or "" for name in SECTIONS} == {name: row[name] for name in SECTIONS}
        assert found.origin == "sections"


def test_single_section_equals_the_official_choice():
    rows = golden_rows("single_section.jsonl")
    assert len(rows) == 163
    for row in rows:
        assert single_section(row["study"], golden_text(row["study"])) == row["text"], row["study"]


def test_studies_left_out_of_the_official_table_are_recovered_as_findings():
    official = {row["study"] for row in golden_rows("sectioned.jsonl")}
    custom = [row for row in golden_rows("single_section.jsonl") if row["study"] not in official]
    assert len(custom) == 4
    for row in custom:
        found = extract(row["study"], golden_text(row["study"]))
        assert found.origin == "custom-rule"
        assert found == (None, row["text"].strip() or None, None, None, None, "custom-rule")


def test_there_are_54_studies_with_a_rule_of_their_own():
    assert (len(CUSTOM_SECTIONS), len(CUSTOM_RANGES)) == (23, 31)
    assert list(CUSTOM_RANGES.values()).count((0, 0)) == 8
    assert not CUSTOM_SECTIONS.keys() & CUSTOM_RANGES.keys()
    assert is_custom("s50913680")
    assert not is_custom("s50414267")


@pytest.mark.parametrize("study", ["s50913680", "s50525523"])
def test_a_custom_study_with_another_text_is_cut_like_any_other(study):
    text = "FINAL REPORT\n FINDINGS:  Clear lungs.\n \n IMPRESSION:  Normal.\n"
    found = extract(study, text)
    assert (found.findings, found.impression, found.origin) == ("Clear lungs.", "Normal.", "sections")
    assert single_section(study, text) == "Normal."


def test_a_custom_range_is_the_characters_of_the_file():
    text = "x" * 200 + "\n" + "y" * 148 + "z" * 100
    assert extract("s50525523", text).findings == "y" * 148


def test_history_is_the_later_of_history_and_indication():
    text = "FINAL REPORT\n HISTORY:  Cough.\n \n INDICATION:  Fever,\n chills.\n \n FINDINGS:  Clear.\n"
    assert extract("s50000001", text).history == "Fever,\n chills."
    swapped = "FINAL REPORT\n INDICATION:  Fever.\n \n CLINICAL HISTORY:  Cough.\n \n FINDINGS:  Clear.\n"
    assert extract("s50000001", swapped).history == "Cough."
    assert extract("s50000001", "FINAL REPORT\n FINDINGS:  Clear.\n").history is None


def test_an_empty_report_has_no_sections():
    assert extract("s50000001", "") == (None, None, None, None, None, "sections")
    assert single_section("s50000001", "") == ""
