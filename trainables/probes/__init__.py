"""Measurements of what a stack's lanes are, beyond an evaluation's metrics.

Each is made for all lanes at once and read from the device once, and ends as plain numbers: a
mapping a lane for a run's last values (``probe/…``), or rows for ``Report.probes``.
"""
