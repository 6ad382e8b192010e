"""Sections of a study that varies the batch size and trains to a target."""
