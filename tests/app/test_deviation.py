"""What is said of a schedule before training is what its shuffles do."""
