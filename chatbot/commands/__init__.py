"""What follows ``chatbot`` on the command line, a module each.

Those that give flags import nothing heavy before they are run: ``--help`` must be instant.
"""
