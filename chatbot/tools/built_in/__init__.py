"""The tools that come with the program.

Each module is light to import and loads its libraries when it is called, because the
definitions are wanted everywhere and the calls only in a tool process.
"""
