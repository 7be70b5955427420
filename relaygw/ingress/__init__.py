"""Listeners accept sessions; the ESMTP state machine, limits, TLS, AUTH; up to the 250 after DATA."""
