"""What boxes are read as: every form there and back, and texts as models really give them."""

from __future__ import annotations

import random
import re
import time

import pytest

from radvlm_cli.adapters.boxes import CODECS, codec
from radvlm_cli.errors import ConfigError
from radvlm_cli.instructions.boxes import boxes_text
from radvlm_cli.records import Box

SIZE, SEEN = (2544, 3056), (840, 1008)
GRIDS = {"radvlm": 0.01, "chexagent": 0.01, "box_2d": 0.001, "qwen25": 1 / 840, "qwen3": 0.001, "internvl": 0.001}
WIDE, TALL, SQUARE = (3000, 2000), (2000, 3000), (2048, 2048)


def draw(rng: random.Random) -> Box:
    low_x, low_y = rng.uniform(0, 0.95), rng.uniform(0, 0.95)
    return Box(low_x, low_y, rng.uniform(low_x + 1e-6, 1), rng.uniform(low_y + 1e-6, 1))


def read(name: str, text: str) -> tuple[list[tuple[float, ...]], int]:
    found = codec(name).read(text, SIZE, SEEN)
    return [tuple(round(end, 3) for end in box) for box in found.boxes], found.malformed


@pytest.mark.parametrize("name", GRIDS)
def test_boxes_written_are_read_within_the_grid(name: str) -> None:
    rng = random.Random(name)
    for count in (0, 1, 2, 3, 5) * 40:
        boxes = [draw(rng) for _ in range(count)]
        found = codec(name).read(codec(name).write(boxes, SIZE, SEEN), SIZE, SEEN)
        assert found.malformed == 0
        assert len(found.boxes) == count
        for box, back in zip(boxes, found.boxes, strict=True):
            # Half a step, or a whole one where a side was widened so as not to vanish.
            assert all(abs(end - again) <= GRIDS[name] * 1.001 for end, again in zip(box, back, strict=True))
            if min(box.x_max - box.x_min, box.y_max - box.y_min) > 2 * GRIDS[name]:
                assert all(abs(end - again) <= GRIDS[name] / 2 * 1.001 for end, again in zip(box, back, strict=True))


@pytest.mark.parametrize("size", [WIDE, TALL, SQUARE])
def test_a_box_within_the_square_of_maira_comes_back_within_its_cell(size: tuple[int, int]) -> None:
    rng, side = random.Random(0), min(size)
    for _ in range(200):
        inner = draw(rng)
        if min(inner.x_max - inner.x_min, inner.y_max - inner.y_min) < 0.02:
            continue
        x, y = ((whole - side) / 2 for whole in size)
        box = Box(*((end * side + (x, y)[number % 2]) / size[number % 2] for number, end in enumerate(inner)))
        found = codec("maira2").read(codec("maira2").write([box], size, None), size, None)
        assert found.malformed == 0
        (back,) = found.boxes
        for number, (end, again) in enumerate(zip(box, back, strict=True)):
            whole = size[number % 2]
            assert abs(end - again) <= (0.005 * side + 1.001) / whole


def test_maira_is_projected_back_as_its_own_code_does() -> None:
    text = "<obj>A nodule.<box><x10><y20><x40><y60></box></obj>"
    (box,) = codec("maira2").read(text, (500, 700), None).boxes
    assert box == pytest.approx((0.104, 0.2886, 0.404, 0.5743), abs=1e-4)


def test_what_maira_cannot_see_is_still_written_as_a_box() -> None:
    found = codec("maira2").read(codec("maira2").write([Box(0, 0.4, 0.1, 0.6)], WIDE, None), WIDE, None)
    assert (len(found.boxes), found.malformed) == (1, 0)


def test_radvlm_writes_what_the_instructions_have() -> None:
    rng = random.Random(1)
    for count in (1, 2, 3) * 50:
        boxes = [draw(rng) for _ in range(count)]
        assert codec("radvlm").write(boxes, SIZE, None) == boxes_text(boxes)


ONE = (0.1, 0.2, 0.3, 0.4)
HUGE = "9" * 10_000


@pytest.mark.parametrize(
    ("text", "boxes", "malformed"),
    [
        ("", 0, 0),
        ("No abnormality [sic] is seen.", 0, 0),
        ("As described in [1], the heart is large.", 0, 0),
        ("It lies at [0.10, 0.20, 0.30, 0.40].", 1, 0),
        ("[0.1,0.2,0.3,0.4]", 1, 0),
        ("[  0.1 ,0.2,\n 0.3 ,\t0.4 ]", 1, 0),
        ("[0.1 0.2 0.3 0.4]", 1, 0),
        ("[.1, .2, .3, .4]", 1, 0),
        ("[1e-1, 2E-1, +0.3, 0.4]", 1, 0),
        ('["0.1", "0.2", "0.3", "0.4"]', 1, 0),
        ("```json\n[[0.1, 0.2, 0.3, 0.4]]\n```", 1, 0),
        ("[[[0.1, 0.2, 0.3, 0.4]]]", 1, 0),
        ("**[0.1, 0.2, 0.3, 0.4]**", 1, 0),
        ("[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.6, 0.6] and [0.7, 0.7, 0.8, 0.8]", 3, 0),
        ("[0.1, 0.2, 0.3, 0.4] and [0.5, 0.5, 0.", 1, 1),
        ("It lies at [0.1, 0.2, 0.3", 0, 1),
        ("It lies at [0.1", 0, 1),
        ("It lies at [", 0, 0),
        ("[0.1, 0.2, 0.3, 0.4 and so on", 0, 1),
        ("[0.3, 0.2, 0.1, 0.4]", 0, 1),
        ("[0.1, 0.4, 0.3, 0.2]", 0, 1),
        ("[0.1, 0.2, 0.1, 0.4]", 0, 1),
        ("[0.1, 0.2, 0.3]", 0, 1),
        ("[0.1, 0.2, 0.3, 0.4, 0.5]", 0, 1),
        ("[0.1.2, 0.2, 0.3, 0.4]", 0, 1),
        ("[0,1, 0,2, 0,3, 0,4]", 0, 1),
        ("[10%, 20%, 30%, 40%]", 0, 1),
        ("[10, 20, 30, 40]", 0, 1),
        ("[300, 600, 900, 1200]", 0, 1),
        ("[1.6, 0.2, 1.9, 0.4]", 0, 1),
        ("[-0.9, 0.2, 0.3, 0.4]", 0, 1),
        ("[nan, nan, nan, nan]", 0, 1),
        ("[0.1, NaN, 0.3, inf]", 0, 1),
        ("[0.1, 0.2, 1e999, 0.4]", 0, 1),
        (f"[0.1, 0.2, {HUGE}, 0.4]", 0, 1),
        (f"[{HUGE}", 0, 1),
        ("(0.1, 0.2, 0.3, 0.4)", 0, 1),
        ("[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.4, 0.6]", 1, 1),
    ],
)
def test_radvlm_reads_what_models_really_say(text: str, boxes: int, malformed: int) -> None:
    found, broken = read("radvlm", text)
    assert (len(found), broken) == (boxes, malformed)
    if found:
        assert found[0] == ONE


def test_a_corner_a_little_outside_is_clipped() -> None:
    assert read("radvlm", "[-0.05, 0.2, 1.2, 0.4]") == ([(0.0, 0.2, 1.0, 0.4)], 0)
    assert read("radvlm", "[1.1, 0.2, 1.2, 0.4]") == ([], 1)
    assert read("qwen3", '{"bbox_2d": [-3, 200, 1010, 400]}') == ([(0.0, 0.2, 1.0, 0.4)], 0)


@pytest.mark.parametrize(
    ("text", "boxes", "malformed"),
    [
        ("<|box|> (10,20),(30,40) <|/box|>", 1, 0),
        ("<|box|>(10,20),(30,40)<|/box|>", 1, 0),
        ("<|ref|>Edema<|/ref|><|box|> ( 10 , 20 ) , ( 30 , 40 ) <|/box|>", 1, 0),
        ("(10,20),(30,40)", 1, 0),
        ("<|box|>(10.0,20.0) (30.0,40.0)<|/box|>", 1, 0),
        ("<|box|>(10,20),(30,40)<|/box|><|box|>(50,50),(60,60)<|/box|>", 2, 0),
        ("<|box|>(10,20),(30,40) (50,50),(60,60)<|/box|>", 2, 0),
        ("<|box|>(10,20),(30,40)<|box|>(50,50),(60", 1, 1),
        ("<|box|>(10,20),(30", 0, 1),
        ("<|box|>", 0, 1),
        ("<|box|>(30,20),(10,40)<|/box|>", 0, 1),
        ("<|box|>(0.1,0.2),(0.3,0.4)<|/box|>", 0, 1),
        ("<|box|>(10%,20%),(30%,40%)<|/box|>", 0, 1),
        ("<|box|>[10,20,30,40]<|/box|>", 0, 1),
        ("<|box|>(10,20,30,40)<|/box|>", 0, 1),
        ("<|box|>(120,20),(330,40)<|/box|>", 0, 1),
        (f"<|box|>(10,20),({HUGE},40)<|/box|>", 0, 1),
        ("<|box|>(nan,20),(inf,40)<|/box|>", 0, 1),
        ("The heart (left), (right) is large (see above).", 0, 0),
        ("(10,20),(30,40), (50,50),(6", 1, 1),
        ("No finding (50%)", 0, 0),
    ],
)
def test_chexagent_reads_with_tags_or_without(text: str, boxes: int, malformed: int) -> None:
    found, broken = read("chexagent", text)
    assert (len(found), broken) == (boxes, malformed)
    if found:
        assert found[0] == ONE


@pytest.mark.parametrize(
    ("text", "boxes", "malformed"),
    [
        ("<obj>A.<box><x10><y20><x30><y40></box></obj>", 1, 0),
        ("<obj>A.<box> <x10> <y20>\n<x30><y40> </box></obj>", 1, 0),
        ("<obj>A.<box><x10><y20><x30><y40></box><box><x50><y50><x60><y60></box></obj><obj>B.</obj>", 2, 0),
        ("<x10><y20><x30><y40><x50><y50><x60><y60>", 2, 0),
        ("<obj>A.<box><x10><y20><x30><y4", 0, 1),
        ("<obj>A.<box>", 0, 1),
        ("<obj>A.<box></box></obj>", 0, 1),
        ("<box><x30><y20><x10><y40></box>", 0, 1),
        ("<box><x10><y20><x10><y40></box>", 0, 1),
        ("<box><y20><x10><y40><x30></box>", 0, 1),
        ("<box><x10><y20><x30><y140></box>", 0, 1),
        (f"<box><x10><y20><x{HUGE}><y40></box>", 0, 1),
        ("text outside <obj>A.</obj> and no box", 0, 0),
    ],
)
def test_maira_reads_whole_boxes_and_counts_the_rest(text: str, boxes: int, malformed: int) -> None:
    found, broken = read("maira2", text)
    assert (len(found), broken) == (boxes, malformed)


@pytest.mark.parametrize(
    ("name", "text", "boxes", "malformed"),
    [
        ("box_2d", '```json\n[{"box_2d": [200, 100, 400, 300], "label": "nodule"}]\n```', 1, 0),
        ("box_2d", '{"box_2d": [[200, 100, 400, 300]]}', 1, 0),
        ("box_2d", '[{"box_2d": [200, 100, 400, 300]}, {"box_2d": [5', 1, 1),
        ("box_2d", '{"box_2d": [0.2, 0.1, 0.4, 0.3]}', 0, 1),
        ("qwen3", '[{"bbox_2d": [100, 200, 300, 400], "label": "a"}, {"bbox_2d": [1, 2, 3, 4]}]', 2, 0),
        ("qwen3", "[100,200,300,400]", 1, 0),
        ("qwen3", '{"bbox_2d": [1700, 200, 1900, 400]}', 0, 1),
        ("qwen25", '[{"bbox_2d": [84, 202, 252, 403]}]', 1, 0),
        ("qwen25", '[{"bbox_2d": [1900, 202, 2000, 403]}]', 0, 1),
        ("internvl", "<ref>nodule</ref><box>[[100, 200, 300, 400]]</box>", 1, 0),
        ("internvl", "<ref>nodule</ref><box>[[100, 200, 300, 400], [1, 2, 3, 4]]</box>", 2, 0),
        ("internvl", "<ref>nodule</ref><box>[[100, 200, 300", 0, 1),
    ],
)
def test_forms_of_whole_numbers(name: str, text: str, boxes: int, malformed: int) -> None:
    found, broken = read(name, text)
    assert (len(found), broken) == (boxes, malformed)
    if found:
        assert found[0] == pytest.approx(ONE, abs=2e-3)


PIECES = re.split(
    " ", """[ ] ( ) <|box|> <|/box|> <box> </box> <x10> <y20> {"box_2d": , - . % e nan inf 0.5 500 1e308"""
)
PIECES += [" ", "\n", "\x00", "\uff11", "\u0663", HUGE[:40]]


@pytest.mark.parametrize("name", CODECS)
def test_no_text_makes_a_codec_raise_or_give_a_box_that_is_none(name: str) -> None:
    rng = random.Random(name)
    for _ in range(2000):
        text = "".join(rng.choices(PIECES, k=rng.randint(0, 24)))
        for size, seen in ((SIZE, SEEN), ((1, 1), None), ((0, 0), None)):
            for box in codec(name).read(text, size, seen).boxes:
                assert 0 <= box.x_min < box.x_max <= 1
                assert 0 <= box.y_min < box.y_max <= 1


@pytest.mark.parametrize("name", CODECS)
def test_a_long_text_is_read_in_no_time(name: str) -> None:
    begun = time.process_time()
    for piece in ("[", "(", "9", "(1,2)", "<|box|>", "<x1>", "[1, 2, 3, 4", "(a)" + " " * 50, "[0.1, 0.2, 0.3, 0.4] "):
        codec(name).read(piece * (40_000 // len(piece)) + "x", SIZE, SEEN)
    assert time.process_time() - begun < 3  # what takes the square of the length would take minutes


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(ConfigError, match="maira2"):
        codec("voc")
