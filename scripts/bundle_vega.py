"""Make the JavaScript that draws the charts of `radvlm report --html`: Vega, Vega-Lite and vegaEmbed in one file.

    pip install "vl-convert-python<2"
    python scripts/bundle_vega.py

The file is package data, so that neither a build nor a report needs the 80 MB tool that it is made with. Its versions
are noted in its first line; the licences of what is inside stand beside it in LICENSE.txt.
"""

from __future__ import annotations

from pathlib import Path

import vl_convert

FOLDER = Path(__file__).parents[1] / "src" / "radvlm_cli" / "reporting" / "page" / "vega"
VEGA_LITE = "6.4"


def main() -> None:
    """Write vega.js."""
    versions = f"vega {vl_convert.get_vega_version()}, vega-lite {VEGA_LITE}, vega-embed " + (
        vl_convert.get_vega_embed_version()
    )
    code = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"v{VEGA_LITE}")
    # Inside <script> the parser ends at the first of these, wherever it stands.
    code = code.replace("</script", r"<\/script").replace("<!--", r"<\!--")
    target = FOLDER / "vega.js"
    target.write_text(f"/* {versions}. BSD-3-Clause; see LICENSE.txt */\n{code}\n", encoding="utf-8")
    print(f"{target}: {target.stat().st_size:,} bytes; {versions}")


if __name__ == "__main__":
    main()
