"""What must hold between the values of a configuration that reads well: names, references, and safety of logins.

Each rule is a generator of faults over a complete Config and says which top-level options it looks at; a rule is
skipped where one of those could not be read, and so is what it says of an option with a fault of its own: one slip
is told once.
"""

import importlib.metadata
import re
from collections.abc import Callable, Collection, Iterator

import attrs

from relaygw.config import address_rules, finding_rules
from relaygw.config.address_rules import route_name
from relaygw.config.problem import Fault, Path, repeated
from relaygw.config.schema import Config, ListenerConfig
from relaygw.config.structure import listed, meant, shown
from relaygw.core import holds, routing, signing_table
from relaygw.core.patterns import PatternError, compile_patterns
from relaygw.core.session import Role

Rule = Callable[[Config], Iterator[Fault]]

EVERY_ROUTE = "every route"
"""What the table as a whole needs: a route without its broken condition would seem to cover those after it."""

EVERY_NAME = "every name"
"""What references to listeners need."""

_ROUTE = re.compile(r"route (\d+) \([^)]*\):? ")


def faults(config: Config, unread: frozenset[str], faulty: frozenset[Path]) -> list[Fault]:
    """Everything wrong between values. `unread` are the top-level options that could not be read in full, `faulty`
    the options inside them that have faults of their own already."""
    if any(path[:1] == ("route",) for path in faulty):
        unread |= {EVERY_ROUTE}
    if any(path[:1] == ("listener",) and path[2:] == ("name",) for path in faulty):
        unread |= {EVERY_NAME}
    found = [fault for rule, needs in RULES for fault in (rule(config) if unread.isdisjoint(needs) else ())]
    return [fault for fault in found if fault[0] not in faulty]


def _listener_names(config: Config) -> Iterator[Fault]:
    if not config.listeners:
        yield ("listener",), "there is no [[listener]]: nothing could connect", ""
    for place, before in repeated(listener.name for listener in config.listeners):
        name = config.listeners[place].name
        yield ("listener", place, "name"), f'"{name}" is already the name of listener[{before + 1}]', ""
    for place, before in repeated(listener.endpoint for listener in config.listeners):
        yield ("listener", place, "endpoint"), f"listener[{before + 1}] has the same endpoint", ""


def _filter_names(config: Config) -> Iterator[Fault]:
    for place, before in repeated(use.name for use in config.filters):
        hint = "give this use a name of its own"
        name = config.filters[place].name
        yield ("filter", place, "name"), f'"{name}" is already the name of filter[{before + 1}]', hint


def _routes(config: Config) -> Iterator[Fault]:
    """The routing table judges itself; its sentences begin with the route they are about."""
    for sentence in routing.problems(config.routes, config.local_domains, config.relay_domains):
        about = _ROUTE.match(sentence)
        path: Path = ("route", int(about[1]) - 1) if about else ("route",)
        yield path, sentence[about.end() :] if about else sentence, ""


def _references(config: Config) -> Iterator[Fault]:
    listeners = {listener.name: listener for listener in config.listeners}
    places: list[tuple[Path, tuple[str, ...]]]
    places = [(("filter", number, "listeners"), use.listeners) for number, use in enumerate(config.filters)]
    places += [(("rewriter", number, "listeners"), use.listeners) for number, use in enumerate(config.rewriters)]
    places += [(("quota", number, "listeners"), quota.listeners) for number, quota in enumerate(config.quotas)]
    places += [(("hold", number, "match"), rule.match.listener) for number, rule in enumerate(config.holds)]
    places += [(("route", number, "match"), route.match.listener) for number, route in enumerate(config.routes)]
    places += [(("signing", number, "listener"), rule.listener) for number, rule in enumerate(config.signing)]
    for path, names in places:
        for name in names:
            if name not in listeners:
                hint = meant(name, listeners) or f"known are {listed(sorted(listeners))}"
                yield path, f'no [[listener]] is named "{name}"', hint
            elif listeners[name].protocol not in ("smtp", "lmtp"):
                yield path, f'the listener "{name}" does not speak SMTP', ""


def _domains(config: Config) -> Iterator[Fault]:
    for key, domains in (("domains", config.domains), ("relay_domains", config.relay_domains)):
        for place, _ in repeated(domains):
            yield (key, place), f'"{domains[place]}" is given twice', ""
    for place, domain in enumerate(config.relay_domains):
        if domain in config.domains:
            yield ("relay_domains", place), f'"{domain}" is also one of domains; it can be only one of the two', ""


def _listeners(config: Config) -> Iterator[Fault]:
    for place, listener in enumerate(config.listeners):
        for key, message, hint in _listener(listener):
            yield ("listener", place, key), message, hint


def _listener(listener: ListenerConfig) -> Iterator[tuple[str, str, str]]:
    prefix = listener.endpoint.partition(":")[0]
    if prefix in ("ssl", "tls", "txsan", "le", "lets"):
        yield "endpoint", f'"{prefix}:" brings TLS of its own', 'write "tcp:…" and tls = "implicit"'
    elif fault := _endpoint_fault(listener.endpoint):
        yield "endpoint", f'"{listener.endpoint}" is not a server endpoint: {fault}', "such as tcp:25 or tcp6:25"
    if listener.trust_socket and prefix != "unix":
        yield (
            "trust_socket",
            f'found true, but "{listener.endpoint}" is no UNIX socket',
            'such as "unix:/path:mode=660"',
        )
    if listener.proxy_from and prefix == "unix":
        yield "proxy_from", "whoever connects to a UNIX socket has no address to be known by", ""
    if listener.protocol in ("smtp", "lmtp"):
        yield from _profile(listener)
        return
    for key in ("networks", "greeting_delay", "line_ends", "tls_minimum_version"):
        default = getattr(attrs.fields(ListenerConfig), key).default
        if getattr(listener, key) != default and not (key == "line_ends" and listener.line_ends == "reject"):
            yield key, f"this option is for SMTP, and the listener speaks {listener.protocol}", ""
    if listener.profile == "legacy":
        yield "profile", f'"legacy" is for SMTP, and the listener speaks {listener.protocol}', ""
    if listener.auth == "never":
        yield (
            "auth",
            f'found "never", but {listener.protocol} is nothing without a login',
            'allowed are "tls", "always"',
        )
    if listener.tls == "none" and listener.auth == "tls":
        yield "auth", 'nobody could log in: logins wait for TLS and tls is "none"', 'set auth = "always" or offer TLS'


def _profile(listener: ListenerConfig) -> Iterator[tuple[str, str, str]]:
    """What is lax is for named networks only."""
    if listener.profile == "legacy" and not listener.networks:
        yield "networks", 'this option must be given: the profile "legacy" is for named networks only', ""
    if listener.profile != "legacy" and listener.line_ends == "repair":
        hint = 'write "normalize", or profile = "legacy" with its networks'
        yield "line_ends", '"repair" lets mail be smuggled past others: it is for the profile "legacy" only', hint


def _quota_names(config: Config) -> Iterator[Fault]:
    for place, before in repeated(quota.name for quota in config.quotas):
        name = config.quotas[place].name
        yield ("quota", place, "name"), f'"{name}" is already the name of quota[{before + 1}]', ""
    for place, quota in enumerate(config.quotas):
        if quota.per == "network" and not quota.networks:
            yield ("quota", place, "networks"), 'this option must be given: it counts per "network"', ""


def _rewriters(config: Config) -> Iterator[Fault]:
    routes = {route_name(place, route) for place, route in enumerate(config.routes, 1)}
    for place, use in enumerate(config.rewriters):
        if not (use.listeners or use.routes):
            message = "this option must be given (or routes): mail is changed only where that is asked for by name"
            yield ("rewriter", place, "listeners"), message, ""
        if use.listeners and use.routes:
            message = "listeners are for mail that comes in and routes for mail that goes out: not both in one entry"
            yield ("rewriter", place, "routes"), message, "write two entries"
        if use.routes and use.use == "copy":
            message = "copies are made of mail that comes in, as recipients of it: name listeners instead"
            yield ("rewriter", place, "routes"), message, ""
        for name in use.routes:
            if name not in routes:
                hint = meant(name, routes) or f"known are {listed(sorted(routes))}"
                yield ("rewriter", place, "routes"), f'no [[route]] is named "{name}"', hint


def _holds(config: Config) -> Iterator[Fault]:
    groups: routing.Groups = {"local": config.local_domains, "relay": config.relay_domains}
    for place, sentence in holds.problems(config.holds, groups):
        yield ("hold", place), sentence, ""
    for place, rule in enumerate(config.holds):
        if not rule.reason.isprintable():
            yield ("hold", place, "reason"), "it must be one line of text", ""


def _senders(config: Config) -> Iterator[Fault]:
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


def _endpoint_fault(endpoint: str) -> str:
    """What Twisted says against the endpoint; "" when it takes it. Some name what is not there before the start."""
    prefix, colon, _ = endpoint.partition(":")
    if not colon:
        return "there is no colon in it"
    if prefix in ("systemd", "fd", "ssl"):
        return ""
    from twisted.internet import endpoints

    read: Callable[[object, str], object] = endpoints.serverFromString
    try:
        read(object(), endpoint)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        return str(error.args[0]) if error.args else type(error).__name__
    return ""


def _tls(config: Config) -> Iterator[Fault]:
    given = (config.tls.certificate, config.tls.private_key)
    if any(given) and not all(given):
        key = "certificate" if config.tls.private_key else "private_key"
        yield ("tls", key), "certificate and private_key are given together or not at all", ""
    wanting = [(place, each) for place, each in enumerate(config.listeners) if each.tls != "none"]
    if wanting and not any(given):
        place, listener = wanting[0]
        message = f'"{listener.tls}" needs a certificate, and [tls] names none'
        yield ("listener", place, "tls"), message, 'set tls.certificate and tls.private_key, or tls = "none"'
    if config.tls.certificates and not any(given):
        yield ("tls", "certificate"), "this option must be given: certificates has only further ones", ""
    for place, each in enumerate(config.listeners):
        if each.tls == "none" and each.client_certificates != "none":
            yield ("listener", place, "client_certificates"), 'there are none without TLS, and tls is "none"', ""


def _certificate_logins(config: Config) -> Iterator[Fault]:
    """Whom a client certificate stands for."""
    for place, each in enumerate(config.directory.certificates):
        path: Path = ("directory", "certificates", place)
        if bool(each.fingerprint) == bool(each.subject):
            yield path, "either fingerprint or subject is wanted", ""
        elif each.subject and config.tls.client_authorities is None:
            message = "a subject means nothing without authorities that vouch for it"
            yield (*path, "subject"), message, "set tls.client_authorities, or give the fingerprint"


def _dkim(config: Config) -> Iterator[Fault]:
    for place, before in repeated((key.domain, key.selector) for key in config.dkim):
        key = config.dkim[place]
        message = f'selector "{key.selector}" of {key.domain} is already that of dkim[{before + 1}]'
        yield ("dkim", place, "selector"), message, ""
    sealing = [place for place, key in enumerate(config.dkim) if key.seals]
    for place in sealing[1:]:
        yield ("dkim", place, "seals"), f"dkim[{sealing[0] + 1}] seals already, and one key is enough", ""
    if sealing and not any(each.use == "arc" for each in config.filters):
        message = "nothing can be sealed that has not been checked"
        yield ("dkim", sealing[0], "seals"), message, 'add a [[filter]] with use = "arc"'


def _signing(config: Config) -> Iterator[Fault]:
    groups: routing.Groups = {"local": config.local_domains, "relay": config.relay_domains}
    for place, before in repeated(rule.name for rule in config.signing):
        message = f'"{config.signing[place].name}" is already the name of signing[{before + 1}]'
        yield ("signing", place, "name"), message, ""
    for place, rule in enumerate(config.signing):
        try:
            patterns = compile_patterns(rule.header_from, groups)
        except PatternError as error:
            yield ("signing", place, "header_from"), str(error), ""
        else:
            if patterns.addresses or patterns.null:
                yield ("signing", place, "header_from"), "it is compared with a domain, never with an address", ""
    for place, key, message in signing_table.problems(config.signing):
        yield ("signing", place, key), message, ""


def _logins(config: Config) -> Iterator[Fault]:
    """Logins and local mailboxes need to know who exists."""
    if config.directory.kind != "file" or config.directory.users:
        return
    asking = [
        each.name for each in config.listeners if each.protocol not in ("smtp", "lmtp") or each.role is Role.SUBMISSION
    ]
    if config.domains or asking:
        reason = f"the listener {listed(asking[:1])} takes logins" if asking else "local domains have mailboxes"
        yield ("directory", "users"), f"this option must be given: {reason}", ""


def _plugins(config: Config) -> Iterator[Fault]:
    uses: list[tuple[Path, str, str]]
    uses = [(("filter", place, "use"), "relaygw.filters", use.use) for place, use in enumerate(config.filters)]
    uses += [
        (("route", place, "transport"), "relaygw.transports", route.transport)
        for place, route in enumerate(config.routes)
    ]
    uses += [(("rewriter", place, "use"), "relaygw.rewriters", use.use) for place, use in enumerate(config.rewriters)]
    uses += [(("table", place, "use"), "relaygw.tables", table.use) for place, table in enumerate(config.tables)]
    if config.directory.kind != "file":
        uses.append((("directory", "kind"), "relaygw.directories", config.directory.kind))
    for path, group, name in uses:
        known = sorted({point.name for point in importlib.metadata.entry_points(group=group)})
        if ":" not in name and name not in known:
            hint = meant(name, known) or f'known are {listed(known)}, or write "module:object"'
            yield path, f'no {group.removeprefix("relaygw.")[:-1]} "{name}" is installed', hint


def _queue(config: Config) -> Iterator[Fault]:
    if not config.queue.retry:
        yield ("queue", "retry"), "found an empty list; allowed is at least one duration", ""
    if config.queue.destination_rest_longest < config.queue.destination_rest:
        yield ("queue", "destination_rest_longest"), "the longest rest is shorter than the first (destination_rest)", ""


def _shaping(config: Config) -> Iterator[Fault]:
    for place, entry in enumerate(config.shaping):
        if entry.destination and (entry.mx or entry.domain):
            message = "mx and domain make a provider, and destination is for one by its own name: not both in one entry"
            yield ("shaping", place, "destination"), message, ""


def _replies(config: Config) -> Iterator[Fault]:
    for place, rule in enumerate(config.replies):
        path: Path = ("reply", place, "action")
        if not (rule.code or rule.enhanced or rule.text):
            yield (
                ("reply", place),
                "it has no condition on the reply: every refusal would match",
                "give code, enhanced or text",
            )
        if rule.action == "fail" and any(each.startswith("5") for each in (*rule.code, *rule.enhanced)):
            yield path, 'a 5xx fails already; "fail" is for a 4xx that is meant so', ""
        if rule.action == "defer" and any(each.startswith("4") for each in (*rule.code, *rule.enhanced)):
            yield path, 'a 4xx is temporary already; "defer" is for a 5xx that is meant so', ""


def _retries(config: Config) -> Iterator[Fault]:
    groups: routing.Groups = {"local": config.local_domains}
    for place, before in repeated(rule.name for rule in config.retries):
        yield ("retry", place, "name"), f'"{config.retries[place].name}" is already the name of retry[{before + 1}]', ""
    for place, rule in enumerate(config.retries):
        for key, texts in (("recipient", rule.recipient), ("sender", rule.sender)):
            try:
                compile_patterns(texts, groups)
            except PatternError as error:
                yield ("retry", place, key), str(error), ""
            if key == "recipient" and "<>" in texts:
                yield ("retry", place, key), "'<>' is a sender, never a recipient", ""


def _egress(config: Config) -> Iterator[Fault]:
    if not (config.egress.ipv4 or config.egress.ipv6):
        yield ("egress", "ipv4"), "ipv4 and ipv6 are both false: no next hop could be reached", ""


def _tls_policies(config: Config) -> Iterator[Fault]:
    for place, each in enumerate(config.tls_policies):
        if each.policy == "fingerprint" and not each.fingerprints:
            yield ("tls_policy", place, "fingerprints"), 'this option must be given: the policy is "fingerprint"', ""
        if each.policy != "fingerprint" and each.fingerprints:
            message = f'they are for the policy "fingerprint", and this one is "{each.policy}"'
            yield ("tls_policy", place, "fingerprints"), message, ""
        if not (each.domains or each.mx) and place + 1 < len(config.tls_policies):
            message = "it fits everything, so that those after it never count"
            yield ("tls_policy", place), message, "put it at the end"


def _control(config: Config) -> Iterator[Fault]:
    console = config.control.console
    if console and not config.control.token_file:
        yield ("control", "token_file"), "this option must be given: the console asks for a token", ""
    if console and (fault := _endpoint_fault(console)):
        yield ("control", "console"), f'"{console}" is not a server endpoint: {fault}', ""


RULES: tuple[tuple[Rule, tuple[str, ...]], ...] = (
    (_listener_names, ("listener",)),
    (_listeners, ("listener",)),
    (_filter_names, ("filter",)),
    (_routes, (EVERY_ROUTE, "route", "domains", "relay_domains", "aliases", "srs")),
    (finding_rules.findings, ("route", "filter")),
    (_references, (EVERY_NAME, "listener", "filter", "rewriter", "quota", "hold", "route", "signing")),
    (_quota_names, ("quota",)),
    (_rewriters, ("rewriter", EVERY_ROUTE, "route")),
    (address_rules.tables, ("table", "aliases")),
    (address_rules.alias_domains, ("aliases", "domains", "relay_domains")),
    (address_rules.srs, ("srs", "relay_domains")),
    (_holds, ("hold", "domains", "relay_domains")),
    (_senders, ("submission", "domains")),
    (_domains, ("domains", "relay_domains")),
    (_tls, ("tls", "listener")),
    (_certificate_logins, ("directory", "tls")),
    (_dkim, ("dkim", "filter")),
    (_signing, ("signing", "domains", "relay_domains")),
    (_logins, ("listener", "directory", "domains")),
    (_plugins, ("filter", "rewriter", "route", "directory", "table")),
    (_queue, ()),
    (_shaping, ("shaping",)),
    (_replies, ("reply",)),
    (_retries, ("retry", "domains")),
    (_egress, ()),
    (_tls_policies, ("tls_policy",)),
    (_control, ()),
)
