"""What a run does beyond being trained once, written against the engine's stacks."""
