"""What follows ``chatbot`` on the command line: a module each, or a package with its flags apart.

What gives flags imports nothing heavy before it is run: ``--help`` must be instant.
"""
