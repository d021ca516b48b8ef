"""``chatbot chats``: the stored chats from the command line."""
