"""`radvlm report --html` and `--checklist`: options, and what is said of the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from radvlm_cli.commands.output import print_json, say
from radvlm_cli.commands.report_options import Given
from radvlm_cli.config import existing_settings
from radvlm_cli.errors import ConfigError

if TYPE_CHECKING:
    from radvlm_cli.stages.reports.page.write import Written

Html = Annotated[
    Path | None,
    typer.Option("--html", dir_okay=False, help="Write one self-contained page: charts, tables, pictures with boxes."),
]
Checklist = Annotated[
    Path | None,
    typer.Option(
        "--checklist", dir_okay=False, help="Write the CLAIM, TRIPOD-LLM and STARD-AI items, filled where known."
    ),
]
Public = Annotated[
    bool,
    typer.Option(
        "--public", help="--html and --checklist without pixels, texts of reports and answers, ids and paths."
    ),
]
Images = Annotated[int, typer.Option("--images", min=0, help="--html: different images at most; 0 for none.")]
Seed = Annotated[int, typer.Option("--seed", help="--html: which samples are shown by chance.")]


class Files(NamedTuple):
    """What to write, and of what."""

    html: Path | None
    checklist: Path | None
    public: bool
    images: int
    seed: int
    models: list[str] | None
    test_sets: list[str] | None
    tasks: list[str] | None

    @property
    def any(self) -> bool:
        """Whether a file is asked for."""
        return self.html is not None or self.checklist is not None


def check_files(files: Files, view: str | None) -> None:
    """Refuse (ConfigError) options that would be ignored."""
    if view is not None and files.any:
        raise ConfigError(
            "--html and --checklist are of the whole report, not of one view.", "radvlm report --html FILE"
        )
    chosen = files.public or files.models or files.test_sets or files.tasks
    if chosen and not files.any:
        what = "--public" if files.public else "--model, --test-set and --task"
        hint = "radvlm report --html FILE" + (" --public" if files.public else ", or radvlm report eval --model MODEL")
        raise ConfigError(f"{what} before a view's name go with --html or --checklist.", hint)


def write_files(files: Files, given: Given) -> None:
    """Write what is asked for, and say where it is and who may see it."""
    settings = existing_settings(data_dir=given.data_dir, store=given.store)

    from radvlm_cli.stages.reports.page.write import Choice, write_html, write_markdown_checklist
    from radvlm_cli.stages.reports.selection import Wanted
    from radvlm_cli.store.snapshot import open_snapshot

    wanted = Wanted(tuple(files.models or ()), tuple(files.test_sets or ()), tuple(files.tasks or ()))
    derived = settings.derived_dir or settings.data_dir
    choice = Choice(wanted, files.public, files.images, files.seed, settings.data_dir, derived)
    written = []
    with open_snapshot(settings.store) as snapshot:
        if files.html is not None:
            written.append(write_html(snapshot, files.html, choice))
        if files.checklist is not None:
            written.append(write_markdown_checklist(snapshot, files.checklist, choice))
    _say(written, given.as_json)


def _say(written: list[Written], as_json: bool) -> None:
    if as_json:
        files = [{"path": str(each.path), "bytes": each.bytes, "restricted": each.restricted} for each in written]
        print_json({"files": files})
        return
    for each in written:
        print(f"{each.path} ({each.bytes / 1e6:.1f} MB)" if each.bytes >= 1e5 else str(each.path))
    if any(each.restricted for each in written):
        say("It holds credentialed images and texts: for people who signed the agreements. --public leaves them out.")
