"""Many seeds in one pass: trainings of one architecture in lockstep, their updates computed as one batched network."""
