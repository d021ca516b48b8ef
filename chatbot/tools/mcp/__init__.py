"""Tools of MCP servers, by the official SDK.

Each server is kept by a process of its own (``python -m chatbot.tools.mcp``), since the SDK
takes a second to import, and since a server that hangs, floods or dies must not take the chat
along. ``client`` and ``protocol`` are for the rest of the program and do not import the SDK.
"""
