"""What is known of the big mailbox providers, as data: their mail exchangers, what they bear, what their answers mean.

The figures are on the careful side of what the providers publish for senders of good standing; a configuration
overlays any of them under the provider's name.
"""

from relaygw.core.remote_rules import Action, ReplyRule
from relaygw.core.shaping import Provided

MINUTE = 60.0

PROVIDERS: tuple[Provided, ...] = (
    Provided(
        name="google",
        mx=(".google.com", ".googlemail.com", ".smtp.goog"),
        connections=20,
        recipients_per_message=100,
        messages_per_connection=100,
    ),
    Provided(
        name="microsoft",
        mx=(".protection.outlook.com", ".olc.protection.outlook.com", ".mx.microsoft"),
        connections=20,
        recipients_per_message=100,
        messages_per_connection=100,
    ),
    Provided(
        name="yahoo",
        mx=(".yahoodns.net",),
        connections=10,
        recipients_per_message=30,
        messages_per_connection=20,
    ),
    Provided(
        name="apple",
        mx=(".mail.icloud.com", ".mx.apple.com"),
        connections=10,
        recipients_per_message=50,
        messages_per_connection=50,
    ),
)

RULES: tuple[ReplyRule, ...] = (
    ReplyRule(
        name="google: unusual rate",
        destination=("google",),
        code=("421", "450", "452"),
        enhanced=("4.7.*",),
        text=("unusual rate", "rate limited", "rate-limited", "receiving mail too quickly"),
        action=Action.REST,
        time=10 * MINUTE,
    ),
    ReplyRule(
        name="google: one recipient gets too much",
        destination=("google",),
        enhanced=("4.2.1",),
        text=("receiving mail at a rate", "too quickly"),
        action=Action.RETRY,
        time=15 * MINUTE,
    ),
    ReplyRule(
        name="microsoft: server busy or throttled",
        destination=("microsoft",),
        code=("451", "421"),
        enhanced=("4.7.500", "4.7.650", "4.7.651", "4.7.652"),
        action=Action.REST,
        time=10 * MINUTE,
    ),
    ReplyRule(
        name="microsoft: connections limited",
        destination=("microsoft",),
        code=("4",),
        text=("exceeded the connection limit", "connection rate limit", "exceeded the maximum number of connections"),
        action=Action.SLOW,
        time=10 * MINUTE,
    ),
    ReplyRule(
        name="yahoo: temporarily deferred",
        destination=("yahoo",),
        code=("421", "451"),
        text=("[ts", "temporarily deferred"),
        action=Action.REST,
        time=15 * MINUTE,
    ),
    ReplyRule(
        name="yahoo: too many at once",
        destination=("yahoo",),
        code=("4",),
        text=("too many", "[gl"),
        action=Action.SLOW,
        time=10 * MINUTE,
    ),
    ReplyRule(
        name="apple: too fast",
        destination=("apple",),
        code=("4",),
        text=("rate limit", "too many", "throttl"),
        action=Action.REST,
        time=10 * MINUTE,
    ),
    ReplyRule(
        name="too many connections",
        code=("421", "450", "451", "452"),
        text=("too many connections", "too many concurrent", "connection limit", "too many sessions"),
        action=Action.SLOW,
        time=5 * MINUTE,
    ),
    ReplyRule(
        name="too fast",
        code=("4",),
        text=("rate limit exceeded", "rate limited", "sending too fast", "too many messages", "throttled"),
        action=Action.SLOW,
        time=5 * MINUTE,
    ),
)
