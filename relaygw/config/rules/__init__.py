"""What must hold between the values of a configuration, by the sections of the file: generators of faults over a whole
Config. relaygw.config.semantics has them in a table, and says when each is asked.
"""
