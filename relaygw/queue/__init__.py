"""A record falls due; recipients that share a route travel together; outcomes are folded back."""
