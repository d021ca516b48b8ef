"""Folders, documents, passages and sources."""
