"""The token lens: one answer, looked into token by token."""
