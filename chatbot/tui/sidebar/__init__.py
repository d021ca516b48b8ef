"""The settings at the side, and the lists below them."""
