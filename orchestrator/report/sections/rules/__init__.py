"""Studies that compare rules for the learning rate: schedules, and methods with their own step."""
