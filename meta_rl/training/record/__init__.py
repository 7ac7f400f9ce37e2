"""What a training writes down: on disk, on the screen and to Weights & Biases."""
