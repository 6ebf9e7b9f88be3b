"""Graphs of reports: from a file that somebody made, or by the `radgraph` package in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.radgraph import Entity, Graph, text_key

PROGRAM = Path(__file__).with_name("radgraph_program.py")
MODELS = ("radgraph", "radgraph-xl", "modern-radgraph-xl")
"""`radgraph` is the one that RadCliQ-v1 was made with."""
_BATCH = 64
_KEY = re.compile(r"[0-9a-f]{64}")
_FORM = (
    '{"SHA-256 of the text": {"entities": {...}}} or {"sample": {"prediction": {...}, "reference": {...}}}, with '
    "entities as the radgraph package gives them"
)


def read_graph(document: Any) -> Graph:
    """A report's graph from the package's form, `{"entities": {id: {tokens, label, relations}}}`.

    Raises DataError where it is not of that form.
    """
    try:
        entities = document["entities"]
        places = {str(name): place for place, name in enumerate(entities)}
        return tuple(
            Entity(
                _text(entity["tokens"]),
                _text(entity["label"]),
                tuple((_text(kind), places[str(target)]) for kind, target in entity["relations"]),
            )
            for entity in entities.values()
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"A graph is not of the radgraph package's form ({type(error).__name__}).", _FORM) from None


def load_graphs(path: Path, texts: Mapping[str, tuple[str, str]]) -> dict[str, Graph]:
    """The graphs of a JSON file by text_key.

    `texts`: sample -> prediction and reference, for files that are by sample. DataError where the file is no such file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({type(error).__name__}).", _FORM) from error
    if not isinstance(document, dict):
        raise DataError(f"{path} holds no JSON object.", _FORM)
    graphs: dict[str, Graph] = {}
    for name, entry in document.items():
        if isinstance(entry, dict) and "entities" not in entry:
            graphs |= _by_sample(entry, texts.get(name))
        elif _KEY.fullmatch(name):
            graphs[name] = read_graph(entry)
        else:
            raise DataError(f"{path} keeps a graph under {name[:70]!r}, which is no SHA-256 of a text.", _FORM)
    return graphs


def save_graphs(path: Path, graphs: Mapping[str, Graph]) -> None:
    """Write graphs as `load_graphs` reads them; the file is there whole or not at all."""
    document = {key: {"entities": _entities(graph)} for key, graph in sorted(graphs.items())}
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)


def annotate(
    texts: Iterable[str],
    python: Path,
    *,
    model: str = "radgraph",
    known: Mapping[str, Graph] | None = None,
    batch: int = _BATCH,
    each: Callable[[int], None] = lambda _count: None,
) -> dict[str, Graph]:
    """Graphs of texts by text_key, made by `python`, an interpreter that has `radgraph`; those known are not asked for.

    `each` is told of every batch how many texts it had. No network is used: the package must have its weights.
    DataError where the program does not come to its end; what it said goes no further, as it may quote a report.
    """
    graphs = dict(known or {})
    wanted = sorted({text for text in texts if text.strip() and text_key(text) not in graphs})
    left = iter(wanted)
    done = 0
    for found in _run(python, model, wanted, batch) if wanted else ():
        graphs |= {text_key(text): graph for graph, text in zip(found, left, strict=False)}
        done += len(found)
        each(len(found))
    if done != len(wanted):
        raise DataError(f"{python} gave {done:,} graphs for {len(wanted):,} reports.", _hint(model))
    return graphs


def _run(python: Path, model: str, texts: list[str], batch: int) -> Iterator[list[Graph]]:
    # -I: neither our PYTHONPATH nor this folder, whose radgraph.py would hide the package.
    command = [str(python), "-I", str(PROGRAM), model, str(batch)]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with TemporaryDirectory() as folder, (Path(folder) / "said").open("w+", encoding="utf-8", errors="replace") as said:
        told = Path(folder) / "texts.json"  # a pipe would stand still where the program ends early
        told.write_text(json.dumps(texts), encoding="utf-8")
        try:
            with (
                told.open("rb") as given,
                subprocess.Popen(
                    command,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    encoding="utf-8",
                    env=os.environ | offline,
                ) as process,
            ):
                assert process.stdout is not None
                for line in process.stdout:
                    yield [read_graph(graph) for graph in json.loads(line)]
        except (OSError, ValueError) as error:
            raise DataError(f"{python} cannot annotate ({type(error).__name__}).", _hint(model)) from error
        if process.returncode != 0:
            said.seek(0)
            raise DataError(f"{python} could not annotate the reports: {_kind(said.read())}.", _hint(model))


def _kind(said: str) -> str:
    """The kind of error that a traceback ends with, without its words."""
    kinds = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt))\b", said, re.MULTILINE)
    return kinds[-1] if kinds else "no reason given"


def _hint(model: str) -> str:
    return (
        f"In an environment of its own: pip install 'radgraph' 'transformers<5', then once, with a network: python -c "
        f"\"from radgraph import RadGraph; RadGraph(model_type='{model}')\""
    )


def _by_sample(entry: dict[str, Any], texts: tuple[str, str] | None) -> dict[str, Graph]:
    if texts is None:
        return {}  # of another test set
    sides = zip(("prediction", "reference"), texts, strict=True)
    return {text_key(text): read_graph(entry[side]) for side, text in sides if side in entry}


def _entities(graph: Graph) -> dict[str, Any]:
    return {
        str(place): {
            "tokens": entity.tokens,
            "label": entity.label,
            "relations": [[kind, str(target)] for kind, target in entity.relations],
        }
        for place, entity in enumerate(graph)
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
