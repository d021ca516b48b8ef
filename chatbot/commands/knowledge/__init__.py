"""``chatbot index`` and ``chatbot search``: the knowledge folders from the command line."""
