"""A row as a sample, or the reason why it is left out; and samples put together to a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from finetuning.anyres import Anyres, tiles_of
from finetuning.collate import Collate
from finetuning.pictures import UnreadableImage, read_picture
from finetuning.samples import FILLER, TOO_LONG, Dropped, Sample, Samples, dummy
from finetuning.table import open_table
from tests.finetuning.datasets import Given, draw, write_table
from tests.finetuning.golden import chat

SMALL = Anyres(56, 4, ((56, 56), (56, 112), (112, 56), (112, 112)), 9)


def samples_of(folder: Path, *pairs: Given, max_length: int = 4096, max_image_side: int | None = None) -> Samples:
    table = open_table(write_table(folder / "train.parquet", pairs), folder / "cache")
    return Samples(table, chat(), SMALL, max_length=max_length, max_image_side=max_image_side, image_root=folder)


def load(folder: Path, *pairs: Given) -> list[Sample]:
    loaded = samples_of(folder, *pairs)
    samples = [loaded[number] for number in range(len(loaded))]
    assert all(isinstance(sample, Sample) for sample in samples)
    return samples  # type: ignore[return-value]


def three(folder: Path) -> list[Sample]:
    """A grey picture, a long dialogue, and a picture in colour."""
    draw(folder / "a.png", 100, 60)
    draw(folder / "b.png", 50, 50, mode="RGB", seed=1)
    return load(folder, Given("a.png"), Given("a.png", ("Where?", "Left.") * 3), Given("b.png", task="report"))


# --- one row


def test_a_row_becomes_tiles_and_as_many_image_tokens_as_they_give(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 100, 60)
    (sample,) = load(tmp_path, Given("a.png", task="grounding"))
    tiling = SMALL.tiling(100, 60)
    assert (sample.pair_id, sample.task, sample.size, sample.weight) == ("p0", "grounding", (60, 100), 1.0)
    assert (sample.tiles == tiles_of(Image.open(tmp_path / "a.png"), SMALL)).all()
    assert (sample.ids == chat().image).sum() == tiling.tokens
    assert len(sample.ids) == len(sample.labels)


def test_a_capped_picture_tells_the_size_that_was_cut_into_tiles(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 200, 100)
    sample = samples_of(tmp_path, Given("a.png"), max_image_side=50)[0]
    assert isinstance(sample, Sample)
    assert sample.size == (25, 50)
    assert (sample.ids == chat().image).sum() == SMALL.tiling(50, 25).tokens


def test_a_sample_of_just_the_longest_length_is_kept_and_a_longer_one_never_cut(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 100, 60)
    (sample,) = load(tmp_path, Given("a.png"))
    length = len(sample.ids)
    assert isinstance(samples_of(tmp_path, Given("a.png"), max_length=length)[0], Sample)
    assert samples_of(tmp_path, Given("a.png"), max_length=length - 1)[0] == Dropped("p0", TOO_LONG)


def damaged(folder: Path, kind: str) -> str:
    """A picture file that cannot be read; its name."""
    whole = draw(folder / "whole.jpg", 400, 300).read_bytes()
    png = draw(folder / "whole.png", 400, 300).read_bytes()
    contents = {
        "cut short": whole[: len(whole) // 2],
        "only a header": whole[:200],
        "empty": b"",
        "text": b"<svg/>",
        "png with a wrong byte": png[:5000] + bytes([png[5000] ^ 255]) + png[5001:],
        "png of half a chunk": png[:60],
    }
    (folder / "bad.jpg").write_bytes(contents[kind])
    return "bad.jpg"


@pytest.mark.parametrize(
    "kind", ["cut short", "only a header", "empty", "text", "png with a wrong byte", "png of half a chunk"]
)
def test_a_damaged_picture_is_left_out_with_a_reason(tmp_path: Path, kind: str) -> None:
    sample = samples_of(tmp_path, Given(damaged(tmp_path, kind)))[0]
    assert sample == Dropped("p0", "the image is damaged or in a format that cannot be read")


def test_a_missing_picture_and_a_bad_conversation_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 100, 60)
    samples = samples_of(
        tmp_path, Given("none.png"), Given("a.png", ("Where?", "")), Given("a.png", roles=("gpt", "human")), Given(".")
    )
    reasons = [item.reason for item in map(samples.__getitem__, range(4)) if isinstance(item, Dropped)]
    assert reasons == [
        "the image file is missing",
        "an answer is empty",
        "human and gpt do not take turns, human first",
        "the image is damaged or in a format that cannot be read",
    ]


def test_a_picture_of_sixteen_bits_is_shown_whole(tmp_path: Path) -> None:
    """Cut off at 255 it would be white; the percentiles let a few burnt-in pixels not decide."""
    words = np.tile(np.linspace(1000, 3000, 400).astype(np.uint16), (300, 1))
    words[0, :10] = 65535
    Image.fromarray(words).save(tmp_path / "deep.png")
    picture = read_picture(tmp_path / "deep.png")
    grey = np.asarray(picture)
    assert picture.mode == "L"
    assert grey[150, 0] == 0
    assert grey[150, -1] == 255
    assert abs(int(grey[150, 200]) - 128) <= 2
    Image.fromarray(np.full((30, 30), 700, np.uint16)).save(tmp_path / "plain.png")
    assert set(np.asarray(read_picture(tmp_path / "plain.png")).ravel()) == {128}


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_a_picture_of_another_mode_is_converted(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.new("RGB", (40, 30), (200, 10, 10)).convert(mode).save(path)
    assert read_picture(path).mode == "RGB"


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="missing"):
        read_picture(tmp_path / "none.jpg")


# --- a batch


def test_a_padded_batch_holds_each_sample_and_who_owns_each_position(tmp_path: Path) -> None:
    samples = three(tmp_path)
    batch = Collate(chat(), SMALL, padding=9)(samples)
    width = max(len(sample.ids) for sample in samples)
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape == (3, width)
    assert "position_ids" not in batch
    for number, sample in enumerate(samples):
        length = len(sample.ids)
        assert batch["input_ids"][number].tolist() == sample.ids.tolist() + [9] * (width - length)
        assert batch["labels"][number].tolist() == sample.labels.tolist() + [-100] * (width - length)
        assert batch["attention_mask"][number].tolist() == [1] * length + [0] * (width - length)
        assert batch["sample"][number].tolist() == [number] * length + [-1] * (width - length)
    assert batch["ids"] == ["p0", "p1", "p2"]
    assert batch["tasks"] == ["classification", "classification", "report"]
    assert batch["weights"].tolist() == [1, 1, 1]


def test_a_packed_batch_is_one_row_without_mask_whose_positions_start_anew(tmp_path: Path) -> None:
    samples = three(tmp_path)
    batch = Collate(chat("llava-next"), SMALL, packed=True)(samples)
    assert "attention_mask" not in batch
    lengths = [len(sample.ids) for sample in samples]
    assert batch["input_ids"].shape == (1, sum(lengths))
    at = 0
    for number, length in enumerate(lengths):
        part = slice(at, at + length)
        assert batch["input_ids"][0, part].tolist() == samples[number].ids.tolist()
        assert batch["position_ids"][0, part].tolist() == list(range(length))
        assert set(batch["sample"][0, part].tolist()) == {number}
        assert batch["labels"][0, at] == -100
        assert batch["labels"][0, part][1:].tolist() == samples[number].labels[1:].tolist()
        at += length


def test_the_first_token_of_a_packed_sample_is_no_target_of_the_one_before(tmp_path: Path) -> None:
    """As published, the start of the system's turn is supervised: nothing comes before it, in a pack something does."""
    draw(tmp_path / "a.png", 50, 50)
    table = open_table(write_table(tmp_path / "train.parquet", [Given("a.png")]), tmp_path)
    samples = Samples(table, chat("llava-next"), SMALL, max_length=999, image_root=tmp_path)
    batch = Collate(samples.chat, SMALL, packed=True)([samples[0], samples[0]])
    starts = (batch["position_ids"] == 0).nonzero()[:, 1]
    assert len(starts) == 2
    assert batch["labels"][0, starts].tolist() == [-100, -100]


def test_tiles_of_all_pictures_follow_one_another_in_three_channels(tmp_path: Path) -> None:
    samples = three(tmp_path)
    for chosen in (samples, samples[:2]):
        batch = Collate(chat(), SMALL)(chosen)
        assert batch["pixels"].dtype == torch.uint8
        assert batch["pixels"].shape == (sum(len(sample.tiles) for sample in chosen), 3, 56, 56)
        assert batch["tiles"].tolist() == [len(sample.tiles) for sample in chosen]
        assert batch["image_sizes"].tolist() == [list(sample.size) for sample in chosen]
        for part, sample in zip(batch["pixels"].split(batch["tiles"].tolist()), chosen, strict=True):
            assert (part.numpy() == sample.tiles).all()


def test_a_dropped_sample_becomes_a_dummy_of_no_weight_with_something_supervised(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 100, 60)
    samples = samples_of(tmp_path, Given("a.png"), Given("none.png"))
    for packed in (False, True):
        batch = Collate(chat(), SMALL, packed=packed)([samples[1], samples[0], samples[FILLER]])
        assert batch["weights"].tolist() == [0, 1, 0]
        assert batch["dropped"] == [Dropped("p1", "the image file is missing")]
        assert batch["ids"] == ["p1", "p0", ""]
        for number in (0, 2):
            assert (batch["labels"][batch["sample"] == number] != -100).sum() >= 1
        assert batch["tiles"].tolist()[0] == batch["tiles"].tolist()[2] == 2


def test_a_dummy_is_a_black_picture_that_fits_the_model() -> None:
    sample = dummy(chat(), Anyres())
    assert sample.tiles.shape == (2, 1, 384, 384)
    assert not sample.tiles.any()
    assert (sample.ids == chat().image).sum() == 1485


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_what_the_process_itself_gives(tmp_path: Path, start: str) -> None:
    draw(tmp_path / "a.png", 100, 60)
    draw(tmp_path / "b.png", 50, 50, mode="RGB", seed=1)
    samples = samples_of(tmp_path, Given("a.png"), Given("b.png"), Given("none.png"), Given("a.png"))
    plan = [[0, 3], [1, 2], [FILLER]]
    loaders = [
        DataLoader(samples, batch_sampler=plan, collate_fn=Collate(chat(), SMALL), **options)  # type: ignore[arg-type]
        for options in ({}, {"num_workers": 1, "multiprocessing_context": start})
    ]
    for here, there in zip(*loaders, strict=True):
        assert here.keys() == there.keys()
        for name, value in here.items():
            assert torch.equal(value, there[name]) if isinstance(value, torch.Tensor) else value == there[name]
