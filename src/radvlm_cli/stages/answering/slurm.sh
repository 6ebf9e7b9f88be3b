#!/bin/bash
# radvlm eval, run @RUN@. What is answered when the job ends is kept: radvlm eval --resume --run @RUN@ --slurm asks the rest.
@SBATCH@

set -u
@SETUP@
run=@FOLDER@

# A node that fails takes no other down with it: each writes down what it has.
srun --kill-on-bad-exit=0@SRUN@ @PYTHON@ -m radvlm_cli.stages.answering.worker "$run/answering.json" --node
