"""The models there are, and the loading of one."""
