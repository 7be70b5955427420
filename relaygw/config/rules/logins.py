"""What must hold of logins: who knows them, what they may write as, and how much they may send."""

from collections.abc import Collection, Iterator

from relaygw.config.problem import Fault, Path, repeated
from relaygw.config.schema import Config
from relaygw.config.structure import listed, shown
from relaygw.core.patterns import PatternError, compile_patterns
from relaygw.core.session import Role


def quota_names(config: Config) -> Iterator[Fault]:
    for place, before in repeated(quota.name for quota in config.quotas):
        name = config.quotas[place].name
        yield ("quota", place, "name"), f'"{name}" is already the name of quota[{before + 1}]', ""
    for place, quota in enumerate(config.quotas):
        if quota.per == "network" and not quota.networks:
            yield ("quota", place, "networks"), 'this option must be given: it counts per "network"', ""


def senders(config: Config) -> Iterator[Fault]:
    groups: dict[str, Collection[str]] = {"local": config.local_domains}
    for login, texts in config.submission.senders.items():
        path: Path = ("submission", "senders", login)
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            yield path, f"found {shown(texts)}; allowed is a list of addresses and domains", f"write [{shown(texts)}]"
            continue
        try:
            compile_patterns((text for text in texts if text != "*"), groups)
        except PatternError as error:
            yield path, str(error), 'allowed are addresses, domains, ".example.com", "local" and "*"'


def certificate_logins(config: Config) -> Iterator[Fault]:
    """Whom a client certificate stands for."""
    for place, each in enumerate(config.directory.certificates):
        path: Path = ("directory", "certificates", place)
        if bool(each.fingerprint) == bool(each.subject):
            yield path, "either fingerprint or subject is wanted", ""
        elif each.subject and config.tls.client_authorities is None:
            message = "a subject means nothing without authorities that vouch for it"
            yield (*path, "subject"), message, "set tls.client_authorities, or give the fingerprint"


def logins(config: Config) -> Iterator[Fault]:
    """Logins and local mailboxes need to know who exists."""
    if config.directory.kind != "file" or config.directory.users:
        return
    asking = [
        each.name for each in config.listeners if each.protocol not in ("smtp", "lmtp") or each.role is Role.SUBMISSION
    ]
    if config.domains or asking:
        reason = f"the listener {listed(asking[:1])} takes logins" if asking else "local domains have mailboxes"
        yield ("directory", "users"), f"this option must be given: {reason}", ""
