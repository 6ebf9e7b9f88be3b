"""The training program: reads one JSON manifest, imports nothing of radvlm_cli."""
