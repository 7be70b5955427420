"""The options by the sections of the file. relaygw.config.schema puts them together and says how values are written;
users take them from there.
"""
