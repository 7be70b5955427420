"""The credentials of a route: a user name with a password or a source of tokens, or our certificate alone."""

import attrs

from relaygw.core.oauth import Flow
from relaygw.egress.hop import Login
from relaygw.egress.https import is_sound
from relaygw.egress.parameters import Reader
from relaygw.egress.secrets import Secret
from relaygw.egress.tokens import OauthSource

MECHANISMS = (
    "EXTERNAL",
    "LOGIN",
    "OAUTHBEARER",
    "PLAIN",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "XOAUTH2",
)


GOOGLE_MAIL = "https://mail.google.com/"
"""The scope of a service account that sends mail, where the route has no other."""


def read_secret(reader: Reader, name: str) -> Secret | None:
    """`NAME_file`, `NAME_env` or `NAME_credential`, at most one of them."""
    found = []
    if path := reader.path(f"{name}_file"):
        found.append(Secret("file", path))
    if variable := reader.text(f"{name}_env"):
        found.append(Secret("env", variable))
    if credential := reader.text(f"{name}_credential"):
        found.append(Secret("credential", credential))
        if "/" in credential:
            reader.problems.append(f"{name}_credential is a name, not a path")
    if len(found) > 1:
        reader.problems.append(f"of {name}_file, {name}_env and {name}_credential only one may be given")
    return found[0] if found else None


def read_login(reader: Reader) -> Login | None:
    """`username` with a password or [route.oauth]; or `external` with the route's certificate."""
    username, password = reader.text("username"), read_secret(reader, "password")
    oauth = _oauth(reader, username)
    external, in_clear = reader.flag("external"), reader.flag("login_in_clear")
    mechanisms = _mechanisms(reader)
    given = (password is not None) + (oauth is not None) + external
    if given > 1:
        reader.problems.append("only one of password, oauth and external may be given")
    if (bool(username) and not given) or (given and not username and not external):
        reader.problems.append("username and password_file belong together: one of them is missing")
    if any(each in username for each in "\0\r\n\1"):
        reader.problems.append("username holds a character no login can carry")
    if external and not reader.has("certificate"):
        reader.problems.append("external says who we are by certificate, and the route has none")
    if not (given and (username or external)):
        return None
    return Login(username=username, password=password, oauth=oauth, mechanisms=mechanisms, in_clear=in_clear)


def _mechanisms(reader: Reader) -> tuple[str, ...]:
    found = tuple(each.upper() for each in reader.texts("mechanisms"))
    for each in found:
        if each not in MECHANISMS:
            reader.problems.append(f"mechanisms: {each!r} is none of {', '.join(MECHANISMS)}")
    return found


def _oauth(outer: Reader, username: str) -> OauthSource | None:
    reader = outer.table("oauth")
    if reader is None:
        return None
    source = OauthSource(
        flow=reader.word("flow", Flow, Flow.CLIENT_CREDENTIALS),
        token_url=reader.text("token_url"),
        client_id=reader.text("client_id"),
        client_secret=read_secret(reader, "client_secret"),
        key=read_secret(reader, "key"),
        refresh_token=read_secret(reader, "refresh_token"),
        scope=reader.text("scope"),
        authorities=reader.path("ca_file"),
    )
    if not is_sound(source.token_url):
        reader.problems.append("token_url must be an https: URL")
    if source.flow is Flow.SERVICE_ACCOUNT:
        source = attrs.evolve(source, subject=username, scope=source.scope or GOOGLE_MAIL)
        reader.problems += _service_account_problems(source)
    elif not source.client_id:
        reader.problems.append("client_id is missing")
    if source.client_secret is not None and source.key is not None:
        reader.problems.append("of client_secret_file and key_file only one may be given")
    if source.flow is Flow.CLIENT_CREDENTIALS and source.client_secret is None and source.key is None:
        reader.problems.append("client_secret_file (or key_file) is missing: the flow is client_credentials")
    if (source.flow is Flow.REFRESH_TOKEN) != (source.refresh_token is not None):
        reader.problems.append('refresh_token_file and flow = "refresh_token" belong together')
    outer.close("oauth", reader)
    return source


def _service_account_problems(source: OauthSource) -> list[str]:
    problems = []
    if source.key is None:
        problems.append("key_file is missing: the flow is service_account")
    if source.client_secret is not None or source.client_id:
        problems.append("client_id and client_secret_file are not for service_account: its key says who it is")
    return problems
