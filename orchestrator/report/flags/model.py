"""What a doubt says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One reason to doubt, and what to do about it."""

    doubt: str
    """A few words."""
    evidence: str
    """A sentence with the figures."""
    advice: str
    """A sentence."""
