"""The plain, linear face: for pipes, screen readers and terminals that cannot do more."""
