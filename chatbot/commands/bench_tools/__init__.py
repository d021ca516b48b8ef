"""``chatbot bench tools``: how well a model calls tools, measured.

Two sets: the Berkeley Function Calling Leaderboard, where it is installed, and a hundred
questions of our own. Knows the engine by its client; runs no tool.
"""
