"""Models as data: which there are, what they need, where they lie, how they get here.

Reads configurations, headers and folders; never weights, and never with torch. The engine
loads what is found here. Knows nothing of conversations and screens.
"""
