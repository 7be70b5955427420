"""What every configuration says at least, for tests whose subject is what they write above or below it."""

LEAST = """\
hostname = "mail.example.com"
state = "state"
domains = ["example.com"]
[directory]
users = "users"
[[listener]]
name = "mx"
endpoint = "tcp:25"
tls = "none"
"""
