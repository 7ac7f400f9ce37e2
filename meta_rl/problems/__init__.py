"""What is learned: tasks that are drawn, played or batched, and scored."""
