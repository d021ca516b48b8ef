"""What keeps drawing cheap while an answer streams, and keys quick."""
