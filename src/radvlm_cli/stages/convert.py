"""convert: a checkpoint in any of its forms becomes one Hugging Face folder in the Hub's layout."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.hashing import content_hash, file_sha256
from radvlm_cli.program import how_to_get_models
from radvlm_cli.progress import Progress, StopSignal
from radvlm_cli.store.bulk import execute_many
from radvlm_cli.store.runs import Run
from radvlm_cli.weights import checkpoints, configs, folder, hub, lora, tokenizer, verify
from radvlm_cli.weights.smoke import smoke_generation
from radvlm_cli.weights.structure import EMBEDDING, LM_HEAD, check_tensors, expected_shapes
from radvlm_cli.weights.tensors import TORCH_NAMES, Tensor, cast, digest, extend_rows, size_of

_SPARE_BYTES = 50 * 10**6
"""For tokenizer and configuration files."""
_PADDED_TO = 64
_ALREADY = ("config.json", "tokenizer.json", "preprocessor_config.json", "processor_config.json")
_MB = 10**6


class Options(NamedTuple):
    """What the user asked for."""

    source: Path
    output: Path | None = None
    """The input with `_hf` behind its name unless given."""
    base: Path | None = None
    """Model that an adapter belongs to."""
    tokenizer: Path | None = None
    vision_config: Path | None = None
    dtype: str | None = None
    """bfloat16, float16 or float32 instead of the checkpoint's own."""
    add_rows: bool = False
    """Lengthen an embedding that is too small for the placeholders."""
    verify: bool = True
    force: bool = False
    shard_bytes: int = hub.SHARD_BYTES


class Converted(NamedTuple):
    """What was done."""

    output: Path
    kind: str
    """What was found in the input, in words."""
    tensors: int
    bytes: int
    dtype: str
    tied: bool
    files: dict[str, str]
    """SHA-256 by file name; empty where nothing had to be done."""
    sha256: str
    """Of all weights: of their names and hashes."""
    verified: int | None
    """Tensors compared with the source."""
    generation: str | None
    answer: str | None
    seconds: float


class _Made(NamedTuple):
    """A staging folder that is filled."""

    config: configs.Config
    tensors: dict[str, Tensor]
    weights: hub.Weights
    files: dict[str, str]


def output_of(options: Options) -> Path:
    """Where the folder goes; ConfigError where that cannot be."""
    source = options.source.absolute()
    output = (options.output or source.with_name(f"{source.name}_hf")).absolute()
    if output == source or output in source.parents:
        raise ConfigError(f"The output {output} is the input, or holds it.", "--output another folder")
    if source in output.parents and options.output is not None:
        raise ConfigError(f"The output {output} lies inside the input.", "--output a folder outside it")
    return output


def convert(options: Options, *, progress: Progress, stop: StopSignal) -> Converted:
    """Convert; the output appears whole, verified if wanted, or not at all.

    DataError names the tensors that no rule, or more than one, matches, that are missing, extra or of a wrong shape.
    """
    begun = time.monotonic()
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        raise ConfigError("Converting needs torch and transformers.", how_to_get_models())
    output = output_of(options)
    source = checkpoints.find_folder(options.source.absolute())
    checkpoint = _open(source, options)
    if options.output is None and _is_done(checkpoint):
        return _nothing_to_do(checkpoint, begun)
    folder.refuse_existing(output, replace=options.force)
    config, config_file = _config(source, options)
    tensors = _settle(checkpoint, config, options)
    folder.need_space(output.parent, sum(map(size_of, tensors.values())) + _SPARE_BYTES)
    progress.note(f"{source}: {checkpoint.kind}; configuration {config_file}.")
    with folder.whole_folder(output, replace=options.force) as staging:
        made = _write(staging, checkpoint, config, tensors, options, progress=progress, stop=stop)
        verified = answer = None
        if options.verify:
            progress.start("Verifying (MB)", total=made.weights.bytes // _MB)
            expected = verify.truth(checkpoint, made.tensors)
            verified = verify.verify_weights(staging, made.config, expected, done=_ticker(progress, stop))
            progress.start("Generating")
            answer = smoke_generation(staging, made.weights.bytes)
    return Converted(
        output=output,
        kind=checkpoint.kind,
        tensors=len(made.tensors),
        bytes=made.weights.bytes,
        dtype=made.config["dtype"],
        tied=made.config["tie_word_embeddings"],
        files=made.files,
        sha256=content_hash(made.weights.digests),
        verified=verified,
        generation=answer.note if answer else None,
        answer=answer.text if answer else None,
        seconds=time.monotonic() - begun,
    )


def record(run: Run, converted: Converted) -> None:
    """Keep the written files in the store."""
    rows = []
    for name, sha256 in converted.files.items():
        path = converted.output / name
        state = path.stat()
        rows.append((str(path), sha256, state.st_size, state.st_mtime_ns, converted.sha256, run.id))
    with run.store.write() as connection:
        execute_many(
            connection,
            "INSERT INTO artifact (root, path, kind, origin, sha256, bytes, mtime_ns, key, run_id) "
            "VALUES ('output', ?, 'model', 'written', ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET "
            "kind=excluded.kind, sha256=excluded.sha256, bytes=excluded.bytes, mtime_ns=excluded.mtime_ns, "
            "key=excluded.key, run_id=excluded.run_id",
            rows,
        )
    run.tally("convert", {"tensors": converted.tensors, "verified": converted.verified or 0})


def _open(source: Path, options: Options) -> checkpoints.Checkpoint:
    if not checkpoints.is_adapter(source):
        if options.base is not None:
            raise ConfigError(f"{source} holds whole weights; --base is for adapters.", "Leave --base out")
        return checkpoints.open_weights(source)
    base = options.base or lora.base_of(source) or checkpoints.base_folder(source)
    if base is None:
        raise ConfigError(
            f"{source} holds an adapter, and the model it belongs to is not on this machine.", "--base FOLDER"
        )
    return lora.open_adapter(source, checkpoints.find_folder(base.absolute()))


def _places(source: Path, options: Options) -> list[Path]:
    """Where configuration and tokenizer may lie: with the weights, with the base, with what the run began from."""
    base = lora.base_of(source) if checkpoints.is_adapter(source) else None
    places = [source, options.base, base, checkpoints.base_folder(source), checkpoints.run_of(source)]
    return [place for place in places if place is not None]


def _config(source: Path, options: Options) -> tuple[configs.Config, Path]:
    for place in _places(source, options):
        path = place / "config.json"
        if path.is_file():
            return configs.hub_config(configs.read_json(path), vision=options.vision_config, where=path), path
    raise DataError(f"{source} has no config.json.", f"Put the config.json of the training into {source}")


def _settle(checkpoint: checkpoints.Checkpoint, config: configs.Config, options: Options) -> dict[str, Tensor]:
    """The tensors that will be written, in order, of the type wanted; all checks that need no values are made here."""
    tensors = dict(checkpoint.tensors)
    if config["tie_word_embeddings"] and LM_HEAD in tensors:
        if EMBEDDING in tensors and digest(tensors[LM_HEAD]) != digest(tensors[EMBEDDING]):
            raise DataError(
                f"{checkpoint.folder}: config.json ties lm_head to the embedding, but they differ.",
                "If they were trained apart, set tie_word_embeddings to false in its config.json",
            )
        del tensors[LM_HEAD]
    check_tensors(tensors, config, str(checkpoint.folder))
    wanted = options.dtype or (_trained_type(checkpoint.folder, options) if checkpoint.gathered else None)
    codes = {name: code for code, name in TORCH_NAMES.items()}
    order = expected_shapes(config)
    return {name: cast(tensors[name], codes[wanted]) if wanted else tensors[name] for name in order}


def _trained_type(source: Path, options: Options) -> str | None:
    """The type that the model computed in: its config tells; the shards hold float32 masters of it."""
    for place in _places(source, options):
        if (place / "config.json").is_file():
            given = configs.read_json(place / "config.json")
            name = given.get("dtype") or given.get("torch_dtype")
            return name if name in TORCH_NAMES.values() else None
    return None


def _write(
    staging: Path,
    checkpoint: checkpoints.Checkpoint,
    config: configs.Config,
    tensors: dict[str, Tensor],
    options: Options,
    *,
    progress: Progress,
    stop: StopSignal,
) -> _Made:
    given = [options.tokenizer] if options.tokenizer else _places(checkpoint.folder, options)
    words = tokenizer.write_tokenizer(tokenizer.find_tokenizer(*given), staging)
    config, tensors = _fit_vocabulary(config, tensors, words.size, options, checkpoint.folder)
    files = {path.name: file_sha256(path) for path in sorted(staging.iterdir())}
    size = sum(map(size_of, tensors.values()))
    progress.start("Writing (MB)", total=size // _MB)
    weights = hub.write_weights(
        staging, tensors, str(checkpoint.folder), shard_bytes=options.shard_bytes, done=_ticker(progress, stop)
    )
    config = configs.finish_config(
        config,
        dtype=TORCH_NAMES[tensors[EMBEDDING].dtype],
        image_id=words.image_id,
        video_id=words.video_id,
        end_id=words.end_ids[0],
        pad_id=words.pad_id,
    )
    files |= hub.write_configs(staging, config, words) | weights.files
    return _Made(config, tensors, weights, files)


def _fit_vocabulary(
    config: configs.Config, tensors: dict[str, Tensor], needed: int, options: Options, where: Path
) -> tuple[configs.Config, dict[str, Tensor]]:
    """Refuse an embedding without rows for the placeholders, or lengthen it where the user says so."""
    rows = config["text_config"]["vocab_size"]
    if needed <= rows:
        return config, tensors
    if not options.add_rows:
        raise DataError(
            f"{where}: the embedding has {rows:,} rows; the tokenizer with <image> and <video> needs {needed:,}.",
            "--tokenizer DIR, if it was trained with another; --add-rows, if it was trained with this one",
        )
    rows = -(-needed // _PADDED_TO) * _PADDED_TO
    longer = {name: extend_rows(tensors[name], rows) for name in (EMBEDDING, LM_HEAD) if name in tensors}
    return {**config, "text_config": {**config["text_config"], "vocab_size": rows}}, {**tensors, **longer}


def _is_done(checkpoint: checkpoints.Checkpoint) -> bool:
    """Whether the input is what we would write: the Hub's names in safetensors files, and its configuration files."""
    own = all(name == source for name, source in checkpoint.sources.items())
    safe = all(path.suffix == ".safetensors" for path in checkpoints.weight_files(checkpoint.folder))
    return (
        checkpoint.layout == "hub" and own and safe and all((checkpoint.folder / name).is_file() for name in _ALREADY)
    )


def _nothing_to_do(checkpoint: checkpoints.Checkpoint, begun: float) -> Converted:
    config = configs.hub_config(
        configs.read_json(checkpoint.folder / "config.json"), vision=None, where=checkpoint.folder / "config.json"
    )
    tied = bool(config["tie_word_embeddings"])
    check_tensors(
        {n: t for n, t in checkpoint.tensors.items() if not (tied and n == LM_HEAD)}, config, str(checkpoint.folder)
    )
    return Converted(
        output=checkpoint.folder,
        kind=checkpoint.kind,
        tensors=len(checkpoint.tensors),
        bytes=sum(map(size_of, checkpoint.tensors.values())),
        dtype=TORCH_NAMES[checkpoint.tensors[EMBEDDING].dtype],
        tied=tied,
        files={},
        sha256="",
        verified=None,
        generation=None,
        answer=None,
        seconds=time.monotonic() - begun,
    )


def _ticker(progress: Progress, stop: StopSignal) -> Callable[[int], None]:
    """Count bytes as megabytes of progress, and stop where the user asked for it."""
    seen = 0

    def tick(size: int) -> None:
        nonlocal seen
        stop.check()
        before, seen = seen // _MB, seen + size
        progress.advance(seen // _MB - before)

    return tick
