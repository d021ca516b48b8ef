"""One module for each format: ``read(name, kind, content)`` makes a document of a file's bytes.

Each raises DocumentError for what it cannot make sense of; limits on time and memory are not
its business. Libraries that only one format needs are imported by its module alone, which is
imported with the first file of that format.
"""
