"""How a worker process is started, spoken to, and survived.

Each worker is a program of its own that reads requests on standard input and writes events
on standard output, one JSON object a line. Nothing here knows of models or documents.
"""
