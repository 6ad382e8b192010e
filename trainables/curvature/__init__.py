"""What a batch says of the loss around the weights: derivatives of second order, lane by lane."""
