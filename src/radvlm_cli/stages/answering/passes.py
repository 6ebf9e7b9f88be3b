"""Have workers answer until every sample has a row: pass after pass, whatever dies on the way.

A worker's death takes only its share of a pass; the next pass asks what is left. What it had in hand when it died is
then asked alone, and a sample on which a second worker dies gets an error as its answer.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from radvlm_cli.errors import ConfigError, EvaluationError, Interrupted
from radvlm_cli.stages.answering.job import STOP_FILE, Ask, Job, write_job
from radvlm_cli.stages.answering.watch import Watch
from radvlm_cli.stages.answering.work import Work
from radvlm_cli.stages.answering.workers import forget_hands, in_hand, node_command, start_workers
from radvlm_cli.store.runs import Run
from radvlm_cli.training.launch import Ranks, Started

_LOOK_EVERY_S = 0.5
_SILENT_S = 120.0
"""After so long without a word a worker on another host counts as dead."""
_DEATHS = 2
"""Workers that may die on one sample."""


class Answering:
    """The samples of a run that are to be asked, and how it goes."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        work: Work,
        job: Job,
        *,
        ranks: Ranks,
        node: int,
        asks: Sequence[Ask],
        sizes: Mapping[str, float],
        resume: str,
    ) -> None:
        """`sizes`: key of a sample -> about how much work it is, in any unit; `resume`: the command that goes on."""
        self._run, self._folder, self._work, self._job = run, folder, work, job
        self._ranks, self._node, self._resume = ranks, node, resume
        self._left = {(ask.evaluation_id, ask.position): ask for ask in asks}
        self._sizes = sizes
        self._deaths: Counter[str] = Counter()

    def prepare(self) -> tuple[Path, Job]:
        """Write what the workers of a pass are told; returns the manifest and what it says."""
        asks = sorted(self._left.values(), key=lambda ask: (ask.alone, ask.evaluation_id, self._sizes.get(ask.key, 0)))
        job = self._job._replace(workers=max(1, min(self._ranks.world, len(asks))))
        (self._folder / STOP_FILE).unlink(missing_ok=True)
        forget_hands(self._folder)
        return write_job(self._folder, job, asks), job

    def to_the_end(self, done_before: int) -> None:
        """Ask until all is answered. Interrupted where it was stopped; EvaluationError where nothing comes any more."""
        watch = Watch(self._run, self._folder, self._work)
        number = min(self._ranks.world, len(self._left))
        self._run.progress.note(f"Starting {number} worker{'s'[: number != 1]}; each loads {self._job.model} first.")
        self._run.progress.start("asking", total=done_before + len(self._left), done=done_before)
        while self._left:
            before = len(self._left), sum(self._deaths.values())
            started = self._pass(watch)
            self._settle()
            if self._run.stop.requested and self._left:
                raise Interrupted(f"Stopped; {len(self._left):,} samples are left to ask.", self._resume)
            if self._left and before == (len(self._left), sum(self._deaths.values())):
                self._raise_failure(watch, started)
            if self._left:
                self._say_what_is_left(watch, started)

    def _pass(self, watch: Watch) -> list[Started]:
        """One pass; the workers that it had on this machine, all over."""
        manifest, job = self.prepare()
        watch.begin(len(self._left))
        started = self._start(manifest, job)
        try:
            self._look_on(watch, started, job)
        except BaseException as error:
            for worker in started:
                worker.kill()
            watch.look()
            if isinstance(error, KeyboardInterrupt):
                self._settle()
                words = f"Stopped at once; {len(self._left):,} samples are left to ask."
                raise Interrupted(words, self._resume) from error
            raise
        return started

    def _start(self, manifest: Path, job: Job) -> list[Started]:
        if self._ranks.nodes == 1 or self._ranks.hosts:
            for number, host in enumerate(self._ranks.hosts):
                if number != self._node:
                    self._run.progress.note(f"On {host} run:  {shlex.join(node_command(manifest, number))}")
            return start_workers(manifest, job, self._node)
        if os.environ.get("SLURM_JOB_ID") is None:
            raise ConfigError(
                f"{self._ranks.nodes} nodes need SLURM, or to be named.",
                "--slurm, or --hosts a,b; or run this inside an allocation (salloc)",
            )
        srun = ["srun", "--kill-on-bad-exit=0", f"--nodes={self._ranks.nodes}", "--ntasks-per-node=1"]
        return [Started([*srun, *node_command(manifest)], self._folder / "srun.log", on_cpu=self._ranks.gpus == 0)]

    def _look_on(self, watch: Watch, started: Sequence[Started], job: Job) -> None:
        """Take in what the workers write until they are over; pass on the first request to stop."""
        asked = False
        while True:
            over = all(worker.ended for worker in started)  # looked at before reading: what it wrote last is taken in
            watch.look()
            if over and not self._others_at_work(watch, job):
                return
            if self._run.stop.requested and not asked:
                (self._folder / STOP_FILE).touch()
                asked = True
            _wait(started)

    def _others_at_work(self, watch: Watch, job: Job) -> bool:
        """Whether workers on other hosts, which were started by hand, are still waited for."""
        if not self._ranks.hosts or not self._work.left(self._left.values()):
            return False
        own = range(self._node * job.per_node, (self._node + 1) * job.per_node)
        others = [rank for rank in range(job.workers) if rank not in own]
        return any(watch.at_work(rank, _SILENT_S) for rank in others)

    def _settle(self) -> None:
        """What is left now; what workers died on is to be asked alone, and at the second time not at all."""
        left = self._work.left(self._left.values())
        keys = {ask.key: ask for ask in left}
        for key in {key for hand in in_hand(self._folder).values() for key in hand if key in keys}:
            self._deaths[key] += 1
        forget_hands(self._folder)
        fatal = [ask for ask in left if self._deaths[ask.key] >= _DEATHS]
        self._work.give_up(fatal, f"{_DEATHS} workers died while they answered it")
        self._run.progress.advance(len(fatal))
        self._left = {
            (ask.evaluation_id, ask.position): ask._replace(alone=self._deaths[ask.key] > 0)
            for ask in left
            if self._deaths[ask.key] < _DEATHS
        }

    def _say_what_is_left(self, watch: Watch, started: Sequence[Started]) -> None:
        dead = sum(worker.process.returncode != 0 for worker in started)
        why = watch.failure[0] if watch.failure is not None else "see the logs in " + str(self._folder)
        self._run.progress.warn(
            f"{dead} of {len(started)} workers died ({why.rstrip('.')}); {len(self._left):,} samples are asked again."
        )

    def _raise_failure(self, watch: Watch, started: Sequence[Started]) -> None:
        """Nothing came of a whole pass."""
        if watch.failure is not None:
            raise EvaluationError(*watch.failure)
        failed = [worker for worker in started if worker.process.returncode != 0] or list(started)
        if not failed:
            raise EvaluationError("The workers brought nothing.", f"See the logs in {self._folder}")
        if words := failed[0].last_words():
            self._run.progress.note(words)
        raise EvaluationError(
            f"The workers ended without a word (exit code {failed[0].process.returncode}).",
            f"See {failed[0].log}; go on: {self._resume}",
        )


def _wait(started: Sequence[Started]) -> None:
    """Until the next look; shorter where a worker ends."""
    at_work = [worker for worker in started if not worker.ended]
    if not at_work:
        time.sleep(_LOOK_EVERY_S)
        return
    with suppress(subprocess.TimeoutExpired):
        at_work[0].process.wait(_LOOK_EVERY_S)
