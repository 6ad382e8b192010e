"""The drawing library of a report's page as one script, made once for each of its versions."""

from __future__ import annotations

import contextlib
import re
from importlib.metadata import version

import vl_convert
from platformdirs import user_cache_path

from orchestrator.report.export import write_atomically


def vega_script() -> str:
    """Vega, Vega-Lite and vega-embed as one script that cannot end the element it stands in.

    Bundling takes a second, so the script is kept in the user's cache folder; where that
    cannot be read or written, it is made anew.
    """
    kept = user_cache_path("regatta") / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    script = re.sub(r"<(/script|!--|script)", r"\\x3c\1", bundle, flags=re.IGNORECASE)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, script.encode())
    return script
