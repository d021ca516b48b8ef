"""Chats as files: one module for each format, and one that tells them apart.

A reader yields chats that are valid and cleaned for the terminal, one after the other, so
that a huge file never lies in memory; a chat that is broken is yielded as such. Knows no
store and no screen.
"""
