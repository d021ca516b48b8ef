"""``chatbot ask``: one answer, several at once, or a text gone on with as it is."""
