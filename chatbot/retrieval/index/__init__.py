"""The index of a knowledge folder: kept on the disk, kept up to date, and searched.

What a folder's files hold is in one SQLite file; the words are, besides, in a lexical index that
can be made from it at any time. Knows nothing of file formats, of ranking and of screens.
"""
