"""From a folder of files to documents: which files there are, and what text is in them.

Every file is taken for hostile: it is opened so that nothing outside the folder can be reached,
and read in a process of its own with limits on time and memory. Knows nothing of passages,
of indexes and of models.
"""
