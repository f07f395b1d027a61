"""What a person looks at: sample grids and the course of a training."""
