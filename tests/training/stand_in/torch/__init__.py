"""Stands in for torch where only the launcher is tested; `python -m torch.distributed.run` starts the stand-in."""
