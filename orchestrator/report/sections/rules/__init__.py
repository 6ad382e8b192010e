"""Studies that compare rules for the learning rate: schedules, and methods that set their own step."""
