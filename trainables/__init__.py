"""What a run does: tensors, lanes, optimizers, schedules. Knows nothing of studies or files."""
