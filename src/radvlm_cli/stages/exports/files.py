"""The generated texts as files of the published folders, where no stage wrote them or somewhere else.

`curate` and `converse` write them as they go; this is for texts of `--no-files` runs, and for a copy beside other code
that reads the published layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import content_hash
from radvlm_cli.sources import SOURCES
from radvlm_cli.sources.layout import locate
from radvlm_cli.stages.texts.converse import KINDS
from radvlm_cli.stages.texts.generated_files import (
    File,
    Published,
    forget_files,
    published_dialogues,
    published_files,
    published_texts,
    write_published,
)
from radvlm_cli.store.bulk import batched
from radvlm_cli.store.engine import Store
from radvlm_cli.store.exports import keep_outputs
from radvlm_cli.store.runs import Run

_BATCH = 1000
_IMAGES_OF = {"mscxr": "mimic"}
"""Source of dialogues -> source of the images that they are about, where that is another."""


class Line(NamedTuple):
    """What became of the texts of one source and kind."""

    source: str
    kind: str
    folder: str
    written: int
    there: int
    """They lay there already, with this very content."""
    kept: int
    """Another file lies there: it was left alone."""


def export_files(
    run: Run, *, sources: Sequence[str], data_dir: Path, derived_dir: Path, output: Path | None, force: bool
) -> list[Line]:
    """Write the texts of the sources (none named: of all that have some) below `output`, else where `build` looks.

    There, a file with other content is left alone and counts as failed, unless `force`; here, `force` writes those
    again that were written before. ConfigError where there is no text.
    """
    chosen = [each for each in _texts(run.store) if not sources or each.source in sources]
    if not chosen:
        raise ConfigError(
            f"The store has no curated report and no dialogue of {', '.join(sources) or 'any source'}.",
            "radvlm curate --source mimic, or radvlm converse --source mimic",
        )
    lines = []
    for published in chosen:
        info = SOURCES[_IMAGES_OF.get(published.source, published.source)]().info
        if output is None:
            layout = locate(info, data_dir, derived_dir)
            if force:
                forget_files(run, published)
            total = sum(1 for _file in published_files(run.store, published))
            written = write_published(run, layout, published)
            line = Line(published.source, published.kind, str(layout.derived), written, total - written, 0)
        else:
            line = _write_below(run, published, output / info.folders[0], force=force)
        run.tally(f"{line.source} {line.kind}", {"written": line.written, "there": line.there, "kept": line.kept})
        run.failed_items += line.kept
        lines.append(line)
    return lines


def _texts(store: Store) -> Iterator[Published]:
    having = [name for (name,) in store.rows("SELECT DISTINCT source FROM curated_text ORDER BY source")]
    yield from (published_texts(name) for name in having)
    having = [name for (name,) in store.rows("SELECT DISTINCT source FROM conversation ORDER BY source")]
    yield from (published_dialogues(name) for name in having if name in KINDS)


def _write_below(run: Run, published: Published, folder: Path, *, force: bool) -> Line:
    written = there = kept = 0
    run.progress.start(f"{published.source}: {published.kind.replace('_', ' ')} files")
    for batch in batched(published_files(run.store, published), _BATCH):
        run.stop.check()
        done = []
        for file in batch:
            state = _place(folder / file.name, file, force=force)
            written, there, kept = written + (state == "written"), there + (state == "there"), kept + (state == "kept")
            if state != "kept":
                done.append((folder / file.name, content_hash(file.content)))
        keep_outputs(run, published.kind, done)
        run.progress.advance(len(batch))
    return Line(published.source, published.kind, str(folder), written, there, kept)


def _place(path: Path, file: File, *, force: bool) -> str:
    """Write one file, unless it is there; what became of it."""
    data = file.content.encode()
    if path.is_file() and path.read_bytes() == data:
        return "there"
    if path.exists() and not force:
        return "kept"
    with atomic_write(path, "wb", sync=False) as stream:
        stream.write(data)
    return "written"
