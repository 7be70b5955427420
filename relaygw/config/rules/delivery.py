"""What must hold of the queue, its rules of traffic, and how next hops are talked to."""

from collections.abc import Iterator

from relaygw.config.problem import Fault, Path, repeated
from relaygw.config.schema import Config
from relaygw.core import routing
from relaygw.core.patterns import PatternError, compile_patterns


def queue(config: Config) -> Iterator[Fault]:
    if not config.queue.retry:
        yield ("queue", "retry"), "found an empty list; allowed is at least one duration", ""
    if config.queue.destination_rest_longest < config.queue.destination_rest:
        yield ("queue", "destination_rest_longest"), "the longest rest is shorter than the first (destination_rest)", ""


def shaping(config: Config) -> Iterator[Fault]:
    for place, entry in enumerate(config.shaping):
        if entry.destination and (entry.mx or entry.domain):
            message = "mx and domain make a provider, and destination is for one by its own name: not both in one entry"
            yield ("shaping", place, "destination"), message, ""


def replies(config: Config) -> Iterator[Fault]:
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


def retries(config: Config) -> Iterator[Fault]:
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


def egress(config: Config) -> Iterator[Fault]:
    if not (config.egress.ipv4 or config.egress.ipv6):
        yield ("egress", "ipv4"), "ipv4 and ipv6 are both false: no next hop could be reached", ""


def tls_policies(config: Config) -> Iterator[Fault]:
    for place, each in enumerate(config.tls_policies):
        if each.policy == "fingerprint" and not each.fingerprints:
            yield ("tls_policy", place, "fingerprints"), 'this option must be given: the policy is "fingerprint"', ""
        if each.policy != "fingerprint" and each.fingerprints:
            message = f'they are for the policy "fingerprint", and this one is "{each.policy}"'
            yield ("tls_policy", place, "fingerprints"), message, ""
        if not (each.domains or each.mx) and place + 1 < len(config.tls_policies):
            message = "it fits everything, so that those after it never count"
            yield ("tls_policy", place), message, "put it at the end"
