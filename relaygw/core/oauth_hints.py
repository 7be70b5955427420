"""What an operator can do about a refusal of Microsoft's or Google's token server, in a few words.

Microsoft's codes are those of its published list (AADSTS…); Google tells its reasons in `error`, `error_subtype` and
`error_description`. What is not in the tables has no hint: a wrong one is worse than none.
"""

import re
from collections.abc import Mapping
from typing import Any

_CODE = re.compile(r"AADSTS(\d{4,8})\b", re.ASCII)

_CONSENT = "an administrator must grant consent to the application's permissions"
_AGAIN = "somebody must agree again: get a new refresh token"

MICROSOFT: Mapping[int, str] = {
    16000: _AGAIN,
    50001: "the scope names a resource that this tenant does not have",
    50034: "the account is not in this tenant: look at the tenant in token_url",
    50053: "the account is locked, or the address of this host is blocked",
    50055: "the password of the account has expired",
    50057: "the account is disabled",
    50076: "the account needs a second factor: get a new refresh token with it, or use client_credentials",
    50079: "the account must enrol a second factor first",
    50126: "user name or password are wrong",
    50173: "the password was changed since: get a new refresh token",
    50194: "the application is for one tenant only: token_url must name it, not /common",
    50196: "too many requests for the same token: the service asks to wait",
    53000: "conditional access refuses the device",
    53003: "conditional access refuses this host: exclude the application, or its account",
    65001: _CONSENT,
    65004: "the consent was declined",
    65005: "the application asks for a permission that its registration does not list",
    70000: "the refresh token is not for this application or tenant",
    70002: "client_secret is wrong or missing",
    70008: "the refresh token was not used for too long: get a new one",
    70011: "the scope is not well formed: it ends in /.default for client_credentials",
    70043: "conditional access limits how long the refresh token lasts: get a new one",
    90002: "there is no such tenant: look at token_url",
    90009: "the scope must name the client by its ID",
    90014: "a parameter is missing in the request",
    90072: "the account is not in this tenant",
    500011: "the scope names a resource that this tenant does not have: https://outlook.office365.com/.default",
    500113: "the application has no redirect URI",
    530003: "conditional access refuses the device",
    700003: "the device is not known any more",
    700016: "there is no such application in this tenant: look at client_id and token_url",
    700027: "the certificate of the application is not the one registered",
    700082: "the refresh token was not used for too long: get a new one",
    700084: "the refresh token has reached its end: get a new one",
    7000112: "the application is disabled in this tenant",
    7000215: "client_secret must be the secret's value, not its ID",
    7000218: "the application has no public client flow: give client_secret, or allow public client flows",
    7000222: "client_secret has expired: make a new one",
}

GOOGLE: Mapping[str, str] = {
    "admin_policy_enforced": "an administrator of the Workspace must trust the application",
    "deleted_client": "the OAuth client was deleted",
    "disabled_client": "the OAuth client is disabled",
    "invalid_rapt": "people must log in again after a time: trust the application, or use a service account",
    "org_internal": "the OAuth client is for members of its organization only",
}

_GOOGLE_WORDS = (
    ("token has been expired or revoked", "get a new refresh token; those of programs in testing end after seven days"),
    ("the oauth client was not found", "look at client_id"),
    ("client is unauthorized to retrieve access tokens", "delegate https://mail.google.com/ to the service account"),
    ("invalid email or user id", "the mailbox in username does not exist in the Workspace"),
    ("invalid jwt signature", "the key of the service account was deleted: make a new one"),
    ("token must be a short-lived token", "the clock of this host is wrong"),
    ("account not found", "there is no such service account any more"),
)


def hint_of(document: Mapping[str, Any]) -> str:
    """The hint for a refusal as the endpoint sent it (RFC 6749 5.2), "" where there is none."""
    description = document.get("error_description")
    text = description if isinstance(description, str) else ""
    found = _CODE.search(text[:2000])
    if found:
        return MICROSOFT.get(int(found[1]), "")
    for name in ("error_subtype", "error"):
        word = document.get(name)
        if isinstance(word, str) and word in GOOGLE:
            return GOOGLE[word]
    lower = text[:2000].lower()
    return next((hint for words, hint in _GOOGLE_WORDS if words in lower), "")


MAIL_SERVERS = (
    ("5.7.139", "SMTP AUTH is off for the tenant or the mailbox, or conditional access refuses it"),
    ("5.7.57", "the login is not complete: look at what was answered to AUTH"),
    (
        "5.7.3 authentication unsuccessful",
        "the application needs SMTP.SendAsApp and the mailbox, and SMTP AUTH must be on",
    ),
    ("5.7.8 username and password not accepted", "the token is for another mailbox than username, or lacks the scope"),
    ("5.7.14", "Google wants the person to log in by browser once"),
    ("5.7.9 application-specific password required", "a password of its own is needed for programs, or a token"),
)


def login_hint(reply: str) -> str:
    """The same for a mail server's answer to AUTH."""
    lower = reply[:1000].lower()
    return next((hint for words, hint in MAIL_SERVERS if words in lower), "")
