"""The text of a first configuration: only what matters, in the order an operator asks for it.

Pure: a Plan in, TOML out. What the options mean stands beside them in the file, and in full in etc/relaygw.toml.
"""

from collections.abc import Iterable, Mapping

import attrs

STANDARD_PORTS: Mapping[str, int] = {
    "mx": 25,
    "submission": 587,
    "submissions": 465,
    "imap": 143,
    "imaps": 993,
    "pop3": 110,
    "pop3s": 995,
}
CONSOLE_PORT = 8080
SELECTOR = "s1"

_HEAD = """\
# relaygw: this gateway. Written by `relaygw init`; yours to change.
# Paths are relative to this file. Every option there is, with its default, stands in the sample etc/relaygw.toml.
# After a change: `relaygw --config {path} check`, then `relaygw --config {path} reload`.

# Our name in greetings, Received fields and reports; its address should resolve back to it.
hostname = {hostname}

# Where queue, mailboxes, journal and control socket live.
state = "state"

# Domains whose mail is kept here, in mailboxes. Each user has one address in every one of them.
domains = {domains}

# Domains we accept mail for from anyone, and hand on by a route below.
relay_domains = []

# Who may send to anywhere without a login. Everyone else must log in.
trusted_networks = {trusted}

# Who gets the mail for postmaster (RFC 5321 4.5.1 wants a person there).
postmaster = {postmaster}

[tls]
# Self-signed, to begin with: replace both files by a certificate that clients trust. No restart is needed.
certificate = "tls/certificate.pem"
private_key = "tls/private_key.pem"

[directory]
# Names and password hashes; edit with `relaygw user`.
users = "users"

[submission]
# Who logs in writes as themselves, in the envelope and in From. Others' addresses: senders = {{ NAME = ["address"] }}.
sender_binding = "both"

[control]
# The web page for operators (read only); it asks for the token in this file.
console = {console}
token_file = "console-token"
"""

_LISTENER = """
[[listener]]
name = {name}
endpoint = {endpoint}
"""

_FILTERS = """
# Filters are asked in this order, in every phase of a session; the first that refuses decides. There are more, for
# lists in the DNS and greylisting: docs/filters.md.
[[filter]]
use = "rate"
on_error = "skip"

[[filter]]
use = "hello"
on_error = "skip"

[[filter]]
use = "loop"
listeners = ["mx", "submission", "submissions"]

[[filter]]
use = "size"
listeners = ["mx", "submission", "submissions"]

# Who sent it: what the owners of its domains ask for is done, to refuse it included. Mail that a forwarder you know has
# broken comes through by its network, `forwarders = ["192.0.2.0/24"]` in the options of dmarc. Programs on this host
# are left alone.
[[filter]]
use = "spf"

[[filter]]
use = "dkim"
on_error = "skip"
options = { skip = ["127.0.0.0/8", "::1"] }

[[filter]]
use = "arc"
on_error = "skip"
options = { skip = ["127.0.0.0/8", "::1"] }

[[filter]]
use = "dmarc"
options = { skip = ["127.0.0.0/8", "::1"] }

[[filter]]
use = "null_sender"
"""

_ROUTES = """
# Routes are read from the top; the first that matches decides. The last one must match everything.
[[route]]
name = "local"
match = { recipient = ["local"] }
transport = "maildir"

[[route]]
name = "rest"
"""

_DKIM = """
[[dkim]]
domain = {domain}
selector = {selector}
private_key = {file}
"""

_DETAILS: Mapping[str, tuple[str, ...]] = {
    "mx": ("# The world hands us mail here; no logins.", 'role = "mx"'),
    "submission": ("# Users hand us mail here, after STARTTLS and a login.", 'role = "submission"'),
    "submissions": ("# The same with TLS from the first octet (RFC 8314).", 'role = "submission"', 'tls = "implicit"'),
    "imap": ('protocol = "imap"',),
    "imaps": ('protocol = "imap"', 'tls = "implicit"'),
    "pop3": ('protocol = "pop3"',),
    "pop3s": ('protocol = "pop3"', 'tls = "implicit"'),
}


@attrs.frozen(kw_only=True)
class Plan:
    """What `relaygw init` was asked for, checked. `path` is the file as the operator names it; `endpoints` by
    listener; `smarthost` is host and port, or None for delivery by MX."""

    path: str
    hostname: str
    domains: tuple[str, ...]
    trusted: tuple[str, ...]
    endpoints: Mapping[str, str]
    console: str
    smarthost: tuple[str, int] | None
    postmaster: str


def quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def quoted_list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def key_file(domain: str) -> str:
    """Where the key of a domain lies below the working directory."""
    return f"dkim/{domain}.{SELECTOR}.pem"


def render(plan: Plan) -> str:
    """The whole file."""
    head = _HEAD.format(
        path=plan.path,
        hostname=quoted(plan.hostname),
        domains=quoted_list(plan.domains),
        trusted=quoted_list(plan.trusted),
        postmaster=quoted(plan.postmaster),
        console=quoted(plan.console),
    )
    return "".join([head, *map(_listener, plan.endpoints.items()), _FILTERS, _ROUTES, _rest(plan), *_keys(plan)])


def _listener(item: tuple[str, str]) -> str:
    name, endpoint = item
    details = _DETAILS[name]
    comment = "".join(f"{line}\n" for line in details if line.startswith("#"))
    options = "".join(f"{line}\n" for line in details if not line.startswith("#"))
    return f"\n{comment}{_LISTENER.format(name=quoted(name), endpoint=quoted(endpoint)).lstrip()}{options}"


def _rest(plan: Plan) -> str:
    if plan.smarthost is None:
        return 'transport = "mx"\n'
    host, port = plan.smarthost
    return f'transport = "smarthost"\nhost = {quoted(host)}\nport = {port}\n'


def _keys(plan: Plan) -> Iterable[str]:
    yield "\n# Mail from these domains is signed. `relaygw dkim record` prints what the DNS must say."
    for domain in plan.domains:
        yield _DKIM.format(domain=quoted(domain), selector=quoted(SELECTOR), file=quoted(key_file(domain)))
