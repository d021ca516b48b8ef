"""What rows are drawn with; what keeps drawing cheap while an answer streams, and keys quick."""
