"""Where a training run stands, from the events that its program writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from radvlm_cli.progress import Progress

_SMOOTHING = 0.1
"""Weight of the newest step in the time per step."""

Event = Mapping[str, Any]


class Ended(NamedTuple):
    """How the program ended, in its own words."""

    status: str
    """done, stopped or failed."""
    message: str
    hint: str | None
    step: int | None


class Watch:
    """Turns events into progress: a bar over optimizer steps with loss, rate, MFU and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.steps: int | None = None
        """Optimizer steps of the whole run."""
        self.step = 0
        """The last one that was done."""
        self.ended: Ended | None = None
        self.checkpoints = 0
        """How many were saved while watching."""
        self._step_s: float | None = None
        self._kinds: dict[str, Callable[[Event], None]] = {
            "started": self._started,
            "step": self._stepped,
            "evaluation": self._evaluated,
            "checkpoint": self._saved,
            "stopping": self._stopping,
            "note": self._note,
            "ended": self._end,
        }

    def take(self, kind: str, event: Event) -> None:
        """Take one event; kinds that are not known are left to the store."""
        handler = self._kinds.get(kind)
        if handler is not None:
            handler(event)

    def _started(self, event: Event) -> None:
        self.steps, self.step, self.ended = event.get("steps"), int(event.get("resumed_from") or 0), None
        where = f"{event.get('world_size')} x {event.get('device')}"
        trainable, parameters = event.get("trainable") or 0, event.get("parameters") or 0
        self._progress.note(f"{where}; {large(trainable)} of {large(parameters)} parameters train")
        self._progress.start("training", total=self.steps, done=self.step)

    def _stepped(self, event: Event) -> None:
        done = int(event["step"])
        seconds = event.get("step_s")
        if seconds is not None:
            before = self._step_s
            self._step_s = seconds if before is None else before + _SMOOTHING * (seconds - before)
        ahead, self.step = done - self.step, done
        self._progress.status(self.line(event))
        self._progress.advance(max(0, ahead))

    def line(self, event: Event) -> str:
        """One step in a line: loss, learning rate, rates, memory, time left."""
        parts = [f"loss {event['loss']:.4f}"] if event.get("loss") is not None else []
        rate = (event.get("learning_rates") or {}).get("language")
        parts += [f"lr {rate:.2e}"] if rate is not None else []
        parts += [f"{event['tokens_per_s']:,.0f} tokens/s"] if event.get("tokens_per_s") else []
        parts += [f"MFU {event['mfu']:.0%}"] if event.get("mfu") else []
        parts += [f"{event['memory_gib']:.1f} GiB"] if event.get("memory_gib") else []
        if self.steps and self._step_s is not None and self.step < self.steps:
            parts.append(f"{duration((self.steps - self.step) * self._step_s)} left")
        return ", ".join(parts)

    def _evaluated(self, event: Event) -> None:
        losses = {task: part["loss"] for task, part in sorted(event["losses"].items()) if part.get("loss") is not None}
        if losses:
            listed = ", ".join(f"{task} {loss:.4f}" for task, loss in losses.items())
            self._progress.note(f"step {event['step']:,}, held out: {listed}")

    def _saved(self, event: Event) -> None:
        self.checkpoints += 1
        took = f", {event['seconds']:.0f} s" if event.get("seconds") is not None else ""
        self._progress.note(f"step {event['step']:,}: checkpoint, {file_size(event.get('bytes', 0))}{took}")

    def _stopping(self, event: Event) -> None:
        self._progress.note(f"Stopping: {event.get('reason')}")

    def _note(self, event: Event) -> None:
        self._progress.note(str(event.get("message") or ""))

    def _end(self, event: Event) -> None:
        self.ended = Ended(
            str(event.get("status")), str(event.get("message") or ""), event.get("hint"), event.get("step")
        )


def duration(seconds: float) -> str:
    """A time as people say it: 3 d 4 h, 5 h 12 min, 7 min, 40 s."""
    minutes, hours, days = int(seconds) // 60, int(seconds) // 3600, int(seconds) // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


def file_size(size: float) -> str:
    """Bytes as people say them: 112.42 GB, 2.8 MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def large(number: float) -> str:
    """A number of parameters, tokens or operations in a few digits: 8.03 B, 283 k."""
    for size, name in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{name}"
    return f"{number:.0f}"
