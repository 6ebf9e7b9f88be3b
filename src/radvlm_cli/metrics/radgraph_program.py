"""Annotate reports with the `radgraph` package. Run by a python that has it, which is not the one that runs radvlm:

    python -I radgraph_program.py MODEL BATCH < texts.json > graphs.jsonl

Reads a JSON list of texts; writes, for each batch of them, a line with the JSON list of their graphs. Written for
any python from 3.8 on; imports nothing of radvlm.
"""

import json
import os
import sys


def main() -> None:
    """Annotate what stands on standard input."""
    model, batch = sys.argv[1], int(sys.argv[2])
    texts = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the package prints; what it prints is no graph
    from radgraph import RadGraph  # type: ignore[import-not-found]

    annotate = RadGraph(model_type=model)
    for start in range(0, len(texts), batch):
        chunk = texts[start : start + batch]
        found = annotate(chunk)
        graphs = [{"entities": found[str(place)]["entities"]} for place in range(len(chunk))]
        out.write(json.dumps(graphs) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
