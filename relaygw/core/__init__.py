"""Pure values and decisions: no twisted, socket, file, clock or random; all of these are arguments."""
