"""What a run leaves on the disk, and what it hands from one meta-iteration to the next."""
