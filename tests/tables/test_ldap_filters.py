"""What fills a search filter is a value in its tree, whatever it holds; wrong ones are named at start."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailboxes import services_for

from relaygw.interfaces import IDirectory
from relaygw.plugins import PluginError, load_plugin
from relaygw.tables.ldap_client import Server, parse_server
from relaygw.tables.ldap_filter import FilterError, FilterTemplate

NAMES = frozenset({"login", "local"})
TEMPLATE = FilterTemplate("(&(objectClass=person)(|(uid={login})(mail={local}@example.com))(!(shut=TRUE)))", NAMES)


@given(st.text(max_size=60) | st.text("*()\\&|!=\0é{}login", max_size=30))
def test_the_shape_of_a_filter_never_changes(typed: str) -> None:
    tree = TEMPLATE.fill({"login": typed, "local": "x"})
    both, either, neither = tree
    assert [type(node).__name__ for node in (both, either, neither)] == [
        "LDAPFilter_equalityMatch", "LDAPFilter_or", "LDAPFilter_not",
    ]  # fmt: skip
    uid, mail = either
    assert uid.assertionValue.value == typed
    assert mail.assertionValue.value == "x@example.com"
    assert typed.encode("utf-8", "surrogatepass") in tree.toWire()


@pytest.mark.parametrize(
    "text",
    [
        "", "(uid=x)", "uid={login}", "(uid={login}", "(uid={nobody})", "({login}=x)", "(uid=*{login}*)",
        "(uid={login}*)",         "(uid:={login})", "(uid={login})(x=y)",
    ],
)  # fmt: skip
def test_templates_that_cannot_be_used(text: str) -> None:
    with pytest.raises(FilterError):
        FilterTemplate(text, NAMES)


@pytest.mark.parametrize(
    ("uri", "start_tls", "server"),
    [
        ("ldap://a.test", True, Server(host="a.test", port=389, tls="starttls")),
        ("ldap://a.test:1389/", False, Server(host="a.test", port=1389, tls="none")),
        ("ldaps://a.test", True, Server(host="a.test", port=636, tls="ldaps")),
    ],
)
def test_servers(uri: str, start_tls: bool, server: Server) -> None:
    assert parse_server(uri, start_tls, "") == server


@pytest.mark.parametrize(
    "uri", ["", "a.test", "http://a.test", "ldap://", "ldap://a.test/dc=x", "ldap://a.test?x", "ldap://a:x"]
)
def test_what_is_no_server(uri: str) -> None:
    with pytest.raises(ValueError):
        parse_server(uri, True, "")


GOOD = {"servers": ["ldap://localhost:1"], "base": "dc=example,dc=com"}


@pytest.mark.parametrize(
    "more",
    [
        {"servers": []}, {"servers": ["http://x"]}, {"scope": "all"}, {"login_filter": "(uid=*)"}, {"bind_dn": "cn=x"},
        {"bind_dn": "cn=x", "bind_password_file": "nowhere"}, {"timeout": 0}, {"conections": 1},
    ],
)  # fmt: skip
def test_wrong_options_are_refused_at_start(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(PluginError):
        load_plugin(
            "relaygw.directories", "relaygw.tables.ldap:LdapDirectory", {**GOOD, **more}, services_for(tmp_path)
        )


def test_making_one_opens_no_connection(tmp_path: Path) -> None:
    made = load_plugin("relaygw.directories", "relaygw.tables.ldap:LdapDirectory", GOOD, services_for(tmp_path))
    assert IDirectory.providedBy(made)
