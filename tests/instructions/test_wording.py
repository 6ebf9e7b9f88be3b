"""The wording files are complete, and mistakes in one are named with file and line."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.instructions.wording import check_variants, choose, fill, parse_sections, variants

SECTIONS = {
    "report_generation": {"question": ()},
    "classification": {"question": (), "answer": ("findings",), "answer none": ()},
    "anatomical_grounding": {
        "question": ("region",),
        "answer one box": ("region", "boxes"),
        "answer several boxes": ("region", "boxes"),
    },
    "abnormality_grounding": {
        "question": ("label",),
        "answer one box": ("label", "boxes"),
        "answer several boxes": ("label", "boxes"),
    },
    "abnormality_detection": {
        "question": (),
        "answer": ("found",),
        "one label": ("label", "boxes"),
        "answer none": (),
    },
    "phrase_grounding": {"question": ("phrase",), "answer one box": ("boxes",), "answer several boxes": ("boxes",)},
}
PRIOR_STUDY = re.compile(r"\b(prior|previous|earlier|compar\w*|interval|unchanged|stable|again|now|new|worse|better)\b")


def text_of(task: str) -> str:
    return files("radvlm_cli.instructions").joinpath("wording", f"{task}.txt").read_text(encoding="utf-8")


def lines_of(task: str) -> list[str]:
    return [line for section in parse_sections(text_of(task), task).values() for _, line in section]


def test_every_wording_file_is_known_here() -> None:
    names = {path.name for path in files("radvlm_cli.instructions").joinpath("wording").iterdir()}
    assert names == {f"{task}.txt" for task in SECTIONS}


@pytest.mark.parametrize("task", SECTIONS)
def test_a_file_has_exactly_the_sections_that_its_task_reads(task: str) -> None:
    assert set(parse_sections(text_of(task), task)) == set(SECTIONS[task])


@pytest.mark.parametrize(("task", "section"), [(task, section) for task in SECTIONS for section in SECTIONS[task]])
def test_all_variants_have_their_placeholders(task: str, section: str) -> None:
    assert variants(task, section, *SECTIONS[task][section])


@pytest.mark.parametrize("task", SECTIONS)
def test_there_are_twenty_questions_a_task(task: str) -> None:
    assert len(variants(task, "question", *SECTIONS[task]["question"])) >= 20


@pytest.mark.parametrize("task", SECTIONS)
def test_every_variant_is_a_sentence(task: str) -> None:
    sentences = [line for line in lines_of(task) if line not in ("{label} at {boxes}",)]
    assert [line for line in sentences if not line[0].isupper() or line[-1] not in ".?:"] == []
    assert [line for line in lines_of(task) if "  " in line or " ." in line or ".." in line] == []


@pytest.mark.parametrize("task", SECTIONS)
def test_no_variant_speaks_of_another_study(task: str) -> None:
    assert [line for line in lines_of(task) if PRIOR_STUDY.search(line.lower())] == []


def test_no_verb_depends_on_the_number_of_a_region() -> None:
    disagreeing = re.compile(
        r"(?<!of )(?<!around )the \{region\} (is|lies|does|occupies|can|are)\b|\b(is|does|are) the \{region\}"
    )
    assert [line for line in lines_of("anatomical_grounding") if disagreeing.search(line.lower())] == []


def test_sections_and_comments_are_read_line_by_line() -> None:
    text = "# about\n[question]\nWhat?\n\n# more\nWhere?\n[answer none]\nNothing.\n"
    assert parse_sections(text, "t") == {"question": [(3, "What?"), (6, "Where?")], "answer none": [(8, "Nothing.")]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("What?\n[question]\n", "line 1: a variant stands before the first"),
        ("[question]\nWhat?\nWhat?\n", "line 3: this variant is there already"),
        ("[question]\nWhat?\n[Answer]\nThat.\n", "line 3: a heading is"),
        ("[question] What?\n", "line 1: a heading is"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=rf"wording/mine\.txt, {complaint}"):
        parse_sections(text, "mine")


@pytest.mark.parametrize(
    "variant",
    [
        "It is there.",
        "The {label} is at {box}.",
        "{label}: {boxes} {boxes}",
        "{label {boxes}",
        "The {label}} at {boxes}.",
    ],
)
def test_a_variant_with_other_placeholders_is_refused_with_its_line(variant: str) -> None:
    with pytest.raises(ConfigError, match=r"wording/mine\.txt, line 7: .*\[answer\] needs \{label\} and \{boxes\}"):
        check_variants([(7, variant)], "mine", "answer", ("label", "boxes"))


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"classification\.txt: section \[answer twice\] is empty"):
        variants("classification", "answer twice")


def test_filling_keeps_text_in_braces_that_came_with_a_value() -> None:
    (template,) = check_variants([(1, "See {label}: {boxes}.")], "t", "answer", ("label", "boxes"))
    assert fill(template, label="{boxes}", boxes="[1]") == "See {boxes}: [1]."


def test_every_variant_can_be_chosen() -> None:
    among = variants("report_generation", "question")
    assert {choose(among, number) for number in range(len(among))} == set(among)
