"""Training from the outside: recipes, the manifest, starting the program, SLURM, estimates, and where a run stands.

The program itself is finetuning/, which nothing here imports: it is run, and tells of itself in its spool.
"""
