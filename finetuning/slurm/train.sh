#!/bin/bash
# radvlm train, run @RUN@. Submit it again to go on from the newest complete checkpoint.
@SBATCH@

set -u
@SETUP@
run=@FOLDER@
spool="$run/rank0.spool.jsonl"

# Every node finds the others at the first one; the port differs from job to job.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 40000))

# The program saves and stops before the job's time is over; older versions of SLURM do not say when that is.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
    SLURM_JOB_END_TIME=$(date -d "$(squeue --noheader --jobs "$SLURM_JOB_ID" --format %e)" +%s 2>/dev/null)
fi
export SLURM_JOB_END_TIME

before=$(stat --format %s "$spool" 2>/dev/null || echo 0)
srun --kill-on-bad-exit=1@SRUN@ \
    @PYTHON@ -m torch.distributed.run \
    --nnodes="$SLURM_NNODES" --nproc-per-node=@RANKS@ --max-restarts=0 \
    --rdzv-backend=c10d --rdzv-endpoint="$head:$port" --rdzv-id="$SLURM_JOB_ID" \
    @PROGRAM@ "$run/manifest.json"
code=$?

# What this job told, and how it ended.
told=$(tail --bytes=+$((before + 1)) "$spool" 2>/dev/null)
ended=$(grep '"kind":"ended"' <<<"$told" | tail -n 1)
case "$ended" in
*'"status":"done"'*) exit 0 ;;
*'"status":"stopped"'*)
    # Stopped by the clock: queue the rest. Not where no step was made, or it would go round for ever.
    if grep --quiet '"kind":"stopping".*SLURM' <<<"$told" && grep --quiet '"kind":"step"' <<<"$told"; then
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit 0
    ;;
esac
exit "$((code ? code : 1))"
