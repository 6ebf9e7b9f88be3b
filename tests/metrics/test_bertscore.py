"""BERTScore against the bert-score package, on tiny random encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.bertscore import ENCODINGS, BertScore, Encoding, Kind
from tests.metrics.texts import pairs
from tests.metrics.tiny_bert import save_distilbert, save_distilroberta

BASELINE = (0.3, 0.31, 0.29)
LAYER = 2
TOLD, TRUE = pairs(30)
SAID = [n for n, text in enumerate(TOLD) if text.strip()]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    root = tmp_path_factory.mktemp("encoders")
    makers: dict[Kind, Callable[[Path], Path]] = {"distilbert": save_distilbert, "distilroberta": save_distilroberta}
    return {kind: make(root / kind) for kind, make in makers.items()}


def tiny(kind: Kind, folder: Path, *, idf: bool = False) -> BertScore:
    return BertScore(kind, folder, idf=idf, encoding=Encoding("tiny", LAYER, BASELINE))


@pytest.mark.filterwarnings("ignore")  # of the package and of what it imports
@pytest.mark.parametrize("idf", [False, True])
@pytest.mark.parametrize("kind", list(ENCODINGS))
def test_bertscore_is_that_of_the_bert_score_package(
    kind: Kind, idf: bool, folders: dict[Kind, Path], tmp_path: Path
) -> None:
    from bert_score import BERTScorer

    baseline = tmp_path / "baseline.tsv"
    baseline.write_text("LAYER,P,R,F\n" + "".join(f"{n},{','.join(map(str, BASELINE))}\n" for n in range(LAYER + 1)))
    references = [TRUE[n] for n in SAID]
    folder = folders[kind]
    if kind == "distilroberta":  # transformers 5 no longer hears the package ask for a space before the text
        folder = save_distilroberta(tmp_path / "spaced", space_first=True)
    oracle = BERTScorer(
        model_type=str(folder),
        num_layers=LAYER,
        idf=idf,
        idf_sents=references if idf else None,
        nthreads=0,
        lang="en",
        rescale_with_baseline=True,
        baseline_path=str(baseline),
        device="cpu",
    )
    expected = np.stack(oracle.score([TOLD[n] for n in SAID], references), axis=1)
    family = tiny(kind, folders[kind], idf=idf)
    assert family.missing() == ()
    found = family.per_sample([TOLD[n] for n in SAID], references)
    assert found[:, :3] == pytest.approx(expected, abs=2e-6)
    assert expected[:, 2].std() > 0.02
    assert family.values(found.sum(0))[family.name] == pytest.approx(expected[:, 2].mean(), abs=2e-6)


def test_an_answer_left_out_is_worth_what_an_unrelated_text_is(folders: dict[Kind, Path]) -> None:
    family = tiny("distilbert", folders["distilbert"])
    table = family.per_sample(["", " \n", "no effusion"], ["no effusion"] * 3)
    assert table.tolist()[:2] == [[0, 0, 0, 1]] * 2
    assert table[2, :3] == pytest.approx(1.0, abs=1e-6)


def test_characters_that_no_vocabulary_has_and_none_at_all(folders: dict[Kind, Path]) -> None:
    for kind, folder in folders.items():
        table = tiny(kind, folder).per_sample(["\ud800 x", "\u200b", "\u80f8 x \x00"], ["x"] * 3)
        assert np.isfinite(table).all()
        assert tiny(kind, folder).per_sample([], []).shape == (0, 4)


def test_rarity_is_that_of_the_corpus_whatever_is_scored(folders: dict[Kind, Path]) -> None:
    whole = tiny("distilbert", folders["distilbert"], idf=True).per_sample(TOLD, TRUE)
    frozen = BertScore(
        "distilbert", folders["distilbert"], idf=True, corpus=TRUE, encoding=Encoding("tiny", LAYER, BASELINE)
    )
    assert frozen.per_sample(TOLD[:4], TRUE[:4]) == pytest.approx(whole[:4], abs=1e-6)
    assert frozen.name == "bertscore_idf"


def test_what_is_missing_is_named_and_no_network_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    monkeypatch.setattr("socket.socket", None)
    [need] = BertScore("distilroberta").missing()
    assert need.what == "distilroberta-base"
    assert need.command == "hf download distilroberta-base, or --bertscore-distilroberta FOLDER"
    [need] = BertScore("distilbert", tmp_path).missing()
    assert need.what == f"distilbert-base-uncased (not whole in {tmp_path})"
    with pytest.raises(DataError, match="distilbert-base-uncased are not here"):
        BertScore("distilbert").per_sample(["a"], ["a"])


def test_a_folder_in_the_hubs_cache_is_found(
    folders: dict[Kind, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--distilbert-base-uncased"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / "abc").symlink_to(folders["distilbert"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    assert BertScore("distilbert").missing() == ()


def test_an_encoder_that_lacks_a_weight_of_a_layer_that_is_used_is_refused(
    folders: dict[Kind, Path], tmp_path: Path
) -> None:
    source, folder = folders["distilbert"], tmp_path / "broken"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    gone = "distilbert.transformer.layer.1.ffn.lin1.weight"
    save_file({n: value for n, value in weights.items() if n != gone}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"layer\.1\.ffn\.lin1\.weight"):
        tiny("distilbert", folder).per_sample(["a"], ["a"])
    with pytest.raises(DataError, match="3 layers; layer 5 is wanted"):
        BertScore("distilbert", source).per_sample(["a"], ["a"])
