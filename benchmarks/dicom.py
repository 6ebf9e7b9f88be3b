"""How many DICOM files per second and core become JPEG, and what does decoding at a reduced size cost in grey levels?

    python benchmarks/dicom.py [--images 6] [--cores 2]

Makes synthetic 2500 x 3000 16-bit files (12 bits stored; uncompressed, and JPEG 2000 lossless) and converts them in
process CPU time: by a plain loop (pydicom, float64 min-max, Pillow to 512) and by radvlm to 1024 and to 512.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.encaps import get_frame

from radvlm_cli.demo.dicom_writer import Form, write_dicom
from radvlm_cli.sources.dicom import convert
from radvlm_cli.sources.jpeg2000 import decode, halvings, read_codestream
from radvlm_cli.sources.pixels import look_up, output_size, resize
from radvlm_cli.sources.voi import Encoding, grey_table

_ROWS, _COLUMNS = 3000, 2500


def texture(seed: int) -> np.ndarray:
    """Draw smooth anatomy-like waves, finer structure and detector noise, 0 to 1."""
    random = np.random.default_rng(seed)
    picture = np.zeros((_ROWS, _COLUMNS), np.float32)
    for cells, strength in ((4, 0.5), (16, 0.2), (80, 0.06), (400, 0.02)):
        coarse = Pillow.fromarray(random.random((cells, cells), dtype=np.float32))
        picture += strength * np.asarray(coarse.resize((_COLUMNS, _ROWS), Pillow.Resampling.BICUBIC))
    picture += random.normal(0, 0.006, picture.shape).astype(np.float32)
    return np.clip(picture, 0, 1)


def plain(source: Path, target: Path) -> None:
    """Convert as a short script would."""
    pixels = dcmread(source).pixel_array.astype(np.float64)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min()) * 255
    Pillow.fromarray(pixels.astype(np.uint8)).resize((512, 512)).save(target)


def seconds_each(work: Callable[[Path, Path], object], sources: list[Path], rounds: int = 3) -> float:
    """CPU seconds of this process per image, the best of some rounds after one to warm up."""
    target = sources[0].with_suffix(".jpg")
    work(sources[0], target)
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        for source in sources:
            work(source, target)
        best = min(best, (time.process_time() - begun) / len(sources))
    return best


def images_per_second(sources: list[Path], processes: int, repeats: int) -> float:
    """Wall-clock throughput of a pool; its start and warm-up are outside the clock."""
    jobs = sources * repeats
    targets = [source.with_name(f"{index}.jpg") for index, source in enumerate(jobs)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        list(pool.map(convert, sources[:1] * 4 * processes, targets * 4))
        begun = time.perf_counter()
        list(pool.map(convert, jobs, targets))
        return len(jobs) / (time.perf_counter() - begun)


def difference(source: Path, size: int) -> tuple[float, int]:
    """Mean and largest difference in grey levels between the reduced and the full decode, as JPEG of one size."""
    whole, wanted = (_COLUMNS, _ROWS), output_size(_COLUMNS, _ROWS, size=size, square=False)
    dataset = dcmread(source)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    stream = read_codestream(frame)
    assert stream is not None
    encoding = Encoding(16, stream.precision, 0, stream.signed)
    pictures = []
    for times in (halvings(stream, wanted), 0):
        words = decode(frame, stream, times)
        jpeg = io.BytesIO()
        grey = look_up(grey_table(dataset, encoding, words), words)
        resize(grey, wanted, whole, times).save(jpeg, "JPEG", quality=95)
        pictures.append(np.asarray(Pillow.open(jpeg), np.int16))
    apart = np.abs(pictures[0] - pictures[1])
    return float(apart.mean()), int(apart.max())


def main() -> None:
    """Make the files, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for syntax in ("explicit", "jpeg2000"):
            sources = [Path(folder) / f"{syntax}-{number}.dicom" for number in range(options.images)]
            for number, source in enumerate(sources):
                write_dicom(source, texture(number), Form(syntax, windowed=True), number=number + 1)
            measure(syntax, sources, options.cores)


def measure(syntax: str, sources: list[Path], cores: int) -> None:
    """Print the figures of one transfer syntax."""
    print(f"{syntax}: {len(sources)} images of {sources[0].stat().st_size / 2**20:.1f} MiB")
    yardstick = seconds_each(plain, sources)
    print(f"  plain loop to 512      {1 / yardstick:7.2f} images/s/core")
    for size in (1024, 512):
        cost = seconds_each(partial(convert, size=size), sources)
        print(f"  radvlm to {size:<4}         {1 / cost:7.2f} images/s/core   {yardstick / cost:.1f} x plain")
    repeats = 20 if syntax == "explicit" else 4
    alone, together = images_per_second(sources, 1, repeats), images_per_second(sources, cores, repeats)
    print(f"  1 process {alone:.2f} images/s, {cores} processes {together:.2f}: {together / alone:.2f} x (wall clock)")
    if syntax == "jpeg2000":
        for size in (1024, 512):
            mean, largest = difference(sources[0], size)
            print(f"  reduced against full decode at {size}: mean {mean:.2f}, largest {largest} of 255 grey levels")


if __name__ == "__main__":
    main()
