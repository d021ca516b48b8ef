"""The compiled code of a step on a CPU: instructions, and the threads that carry them out.

Knows numbers in memory; no tensor and no model.
"""
