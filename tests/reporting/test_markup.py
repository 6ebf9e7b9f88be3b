"""HTML that is escaped by construction."""

from __future__ import annotations

import json

import pytest

from radvlm_cli.reporting.page.markup import Markup, data, element, embedded, join


def test_children_and_attributes_become_text_unless_they_are_markup() -> None:
    inner = element("b", '1 < 2 & "x" \'')
    made = element("p", inner, "<i>", None, 3, title='"><script>', hidden=True, lang=None, class_="a")
    assert made == (
        '<p title="&quot;&gt;&lt;script&gt;" hidden class="a"><b>1 &lt; 2 &amp; &quot;x&quot; &#x27;</b>&lt;i&gt;3</p>'
    )


def test_markup_joined_with_a_string_is_a_string_again_and_so_gets_escaped() -> None:
    mixed = element("b", "x") + "<script>"
    assert not isinstance(mixed, Markup)
    assert "<script>" not in join([mixed])


def test_signs_that_turn_the_direction_of_reading_are_spelled_out() -> None:
    assert element("p", "a\u202eb\x00") == "<p>a\\u202eb\\u0000</p>"


def test_data_for_scripts_reads_back_and_has_nothing_that_a_parser_knows() -> None:
    value = {"text": "</script><!-- & \u2028 \u00e9", "n": [1.5, None]}
    written = data(value)
    body = written.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert json.loads(body) == value
    assert not set(body) & set("<>&\u2028")


@pytest.mark.parametrize("content", ["a</SCRIPT >", "<!-- b"])
def test_a_script_that_would_end_early_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="early"):
        embedded("script", content)
