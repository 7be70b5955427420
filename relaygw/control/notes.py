"""What a rehearsal tells of the queue: how much goes to a destination at once, when it is tried again, and by which
entries of the configuration.
"""

from relaygw.config.schema import Config
from relaygw.control.shapes import Json
from relaygw.core.health import Care
from relaygw.core.providers import PROVIDERS
from relaygw.core.record import Record
from relaygw.core.retry import RetryRule, Schedule, compile_retries
from relaygw.core.shaping import compile_shaping


def ceilings(config: Config, destination: str) -> Json:
    """How much goes out at once; `shaping` are the entries that say so of this destination."""
    queue = config.queue
    care = Care(
        initial=min(queue.initial_destination_concurrency, queue.destination_concurrency),
        most=queue.destination_concurrency,
    )
    shape = compile_shaping(config.shaping, PROVIDERS, care).shape(destination)
    return {
        "destination": destination,
        "ceilings": {
            "concurrency": queue.concurrency,
            "destination_concurrency": shape.care.most,
            "initial_destination_concurrency": shape.care.initial,
            "messages_per_minute": shape.messages_per_minute,
            "recipients_per_message": shape.recipients_per_message,
            "messages_per_connection": shape.messages_per_connection or config.egress.messages_per_connection,
            "shaping": list(shape.layers),
        },
    }


def retry(config: Config, record: Record) -> Json:
    """When the message is tried again: the first rule that holds whatever happens, or [queue]. `conditional` are the
    rules before it that hold for some hosts and kinds of trouble."""
    queue = config.queue
    base = Schedule(
        waits=queue.retry,
        expire=queue.expire,
        expire_reports=queue.expire_reports,
        delay_warnings=queue.delay_warning,
    )
    conditional: list[str] = []
    for rule in compile_retries(base, config.retries, config.local_domains).rules:
        if not _is_for(rule, record):
            continue
        if not (rule.host or rule.trouble):
            return {"retry": _schedule(rule.name, rule.schedule, conditional)}
        conditional.append(rule.name)
    return {"retry": _schedule("", base, conditional)}


def _schedule(name: str, schedule: Schedule, conditional: list[str]) -> Json:
    return {
        "rule": name,
        "waits": list(schedule.waits),
        "expire": schedule.expire,
        "delay_warnings": list(schedule.delay_warnings),
        "conditional": conditional,
    }


def _is_for(rule: RetryRule, record: Record) -> bool:
    address = record.recipients[0].address
    return (
        (rule.recipient is None or rule.recipient.match(address) != "")
        and (rule.sender is None or rule.sender.match(record.envelope.sender) != "")
        and (not rule.login or record.login in rule.login)
    )
