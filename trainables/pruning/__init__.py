"""Pruning in lanes: masks, what they are chosen by, and what follows: rewinding and controls.

Nothing here trains. A stack whose state has masks (``masks.with_masks``) keeps them.
"""
