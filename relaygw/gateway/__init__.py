"""The composition root behind relaygw.tap: the only place, with the command line, where all parts meet."""
