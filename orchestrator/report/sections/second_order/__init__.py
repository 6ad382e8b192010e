"""The sections of a study that compares optimizers by what they take to a target."""
