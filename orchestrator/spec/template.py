"""A study to start from."""

from __future__ import annotations

from pathlib import Path


def template() -> str:
    """A small commented study (YAML) that runs as it is, within seconds."""
    return Path(__file__).with_name("template.yaml").read_text(encoding="utf-8")
