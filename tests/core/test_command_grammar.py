"""Command lines: every form of path and parameter is a value or one CommandError, in linear time."""

import pytest
from effort import costs_less_than
from hypothesis import given
from hypothesis import strategies as st

from relaygw.core.address import MAX_PATH, Address, parse_address
from relaygw.core.command import (
    CommandError,
    parse_command,
    parse_hello,
    parse_mail,
    parse_parameters,
    parse_rcpt,
)
from relaygw.core.envelope import Body, Envelope, Recipient
from relaygw.core.parameters import begin_envelope, make_recipient

POSTMASTER = Address("postmaster", "here.test")


@pytest.mark.parametrize(
    ("path", "local", "domain"),
    [
        ("<a@b.test>", "a", "b.test"),
        ("<A.b+c@B.TEST>", "A.b+c", "b.test"),
        ("<@relay.test:a@b.test>", "a", "b.test"),
        ("<@relay.test,@[192.0.2.1],@[IPv6:2001:db8::1]:a@b.test>", "a", "b.test"),
        ('<"a b"@c.test>', "a b", "c.test"),
        ('<"a>b"@c.test>', "a>b", "c.test"),
        ('<"a\\"b\\\\"@c.test>', 'a"b\\', "c.test"),
        ('<"a@x.test"@c.test>', "a@x.test", "c.test"),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        ("<a@[ipv6:2001:DB8:0::1]>", "a", "[IPv6:2001:db8::1]"),
        ("<a%b.test@c.test>", "a%b.test", "c.test"),
        ("<b.test!a@c.test>", "b.test!a", "c.test"),
        ("<postMaster>", "postmaster", "here.test"),
    ],
)
def test_paths(path: str, local: str, domain: str) -> None:
    assert parse_rcpt(f"TO:{path}", POSTMASTER).address == Address(local, domain)
    assert parse_rcpt(f"to: {path}", POSTMASTER).address == Address(local, domain)


@pytest.mark.parametrize(
    "argument",
    [
        "", "TO", "TO:", "TO:a@b.test", "TO:<a@b.test", "TO:a@b.test>", "TO:<>", "TO:<a>", "TO:<a@>", "TO:<@b.test>",
        "TO:<a@b@c>", "TO:<a..b@c>", "TO:<.a@c>", "TO:<a.@c>", "TO:<a b@c>", "TO:<a@b c>", "TO:<<a@b>>", "TO:<a@b>>",
        'TO:<"a@b>', 'TO:<"a"b@c>', "TO:<a@[300.1.1.1]>", "TO:<a@[::1]>", "TO:<a@[IPv6:x]>", "TO:<a@-b.test>",
        "TO:<a@b..test>", "TO:<@x.test a@b.test>", "TO:<@x.test,a@b.test>", "TO:<@:a@b.test>", "TO:<a@b.test>X=1",
        "FROM:<a@b.test>", "TO:<a@" + "x" * 64 + ".test>", "TO:<" + "a" * 65 + "@b.test>",
    ],
)  # fmt: skip
def test_what_is_no_forward_path(argument: str) -> None:
    with pytest.raises(CommandError) as raised:
        parse_rcpt(argument, POSTMASTER)
    assert raised.value.reply.code == 501


def test_the_null_reverse_path_is_for_mail_only() -> None:
    assert parse_mail("FROM:<>").address is None
    with pytest.raises(CommandError):
        parse_rcpt("TO:<>", POSTMASTER)
    with pytest.raises(CommandError):
        parse_mail("FROM:<postmaster>")


def test_a_path_of_256_octets_and_one_of_257() -> None:
    domain = "d" * 60 + "." + "e" * 60 + "." + "f" * 62 + ".test"
    local = "l" * (MAX_PATH - 2 - 1 - len(domain))
    assert len(local) <= 64
    assert parse_mail(f"FROM:<{local}@{domain}>").address == Address(local, domain)
    with pytest.raises(CommandError, match=r"5\.1\.7"):
        parse_mail(f"FROM:<{local}x@{domain}>")


def test_addresses_beyond_ascii_need_smtputf8() -> None:
    with pytest.raises(CommandError, match=r"553 5\.6\.7"):
        parse_mail("FROM:<jörg@b.test>")
    parsed = parse_mail("FROM:<jörg@bücher.test> SMTPUTF8")
    assert parsed.address == Address("jörg", "xn--bcher-kva.test")


@pytest.mark.parametrize("line", [b"", b" ", b" NOOP", b"NO\0OP", b"NO\tOP", b"\xff", b"NOOP \x85"])
def test_what_is_no_command_line(line: bytes) -> None:
    with pytest.raises(CommandError) as raised:
        parse_command(line)
    assert raised.value.reply.code == 500


def test_verb_and_argument() -> None:
    assert parse_command(b"noop").verb == "NOOP"
    command = parse_command(b"Mail FROM:<a@b.test>   ")
    assert (command.verb, command.argument) == ("MAIL", "FROM:<a@b.test>")


@pytest.mark.parametrize("name", ["a", "client.test", "my_printer", "[192.0.2.1]", "[IPv6:2001:db8::1]", "127.0.0.1"])
def test_names_a_client_may_give_itself(name: str) -> None:
    assert parse_hello(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a(b", "a\nb", "a)", "[x", "ü.test", "a;b", '"', "-a", "x" * 256])
def test_names_that_could_be_more_than_a_word(name: str) -> None:
    with pytest.raises(CommandError):
        parse_hello(name)


def test_parameters_mean_what_their_extension_says() -> None:
    offered = {"SIZE", "8BITMIME", "AUTH"}
    parameters = parse_parameters(" size=100  BODY=8bitmime AUTH=<>")
    assert begin_envelope(None, parameters, offered) == Envelope(sender=None, size=100, body=Body.EIGHT_BIT)
    for text, code in ((" SIZE=1", 555), (" REQUIRETLS", 555), (" BODY=BINARYMIME", 555), (" NOTIFY=NEVER", 555)):
        with pytest.raises(CommandError, match=str(code)):
            begin_envelope(None, parse_parameters(text), set())
    recipient = parse_address("a@b.test")
    assert make_recipient(recipient, (), offered) == Recipient(address=recipient)
    with pytest.raises(CommandError, match="555"):
        make_recipient(recipient, parse_parameters(" NOTIFY=NEVER"), offered)


@pytest.mark.parametrize("text", ["x", " =", " A=", " A==", " A=b=c", " A=\x7f", " -A", " A=1 a=2", " A,B"])
def test_parameters_that_are_not_well_formed(text: str) -> None:
    with pytest.raises(CommandError, match=r"501 5\.5\.4"):
        parse_parameters(text)


MAIL_TEXT = st.text(alphabet='<>@":,.[]\\ a1=+-%!ü', max_size=60)


@given(MAIL_TEXT, st.booleans())
def test_any_argument_is_a_value_or_a_command_error(text: str, utf8: bool) -> None:
    for parse in (lambda t: parse_mail(t + " SMTPUTF8" * utf8), lambda t: parse_rcpt(t, POSTMASTER, utf8=utf8)):
        for prefix in ("", "FROM:", "TO:", "FROM:<", "TO:<"):
            try:
                parsed = parse(prefix + text)
            except CommandError:
                continue
            # What was read can be written again and means the same.
            if parsed.address is not None:
                assert parse_address(str(parsed.address)) == parsed.address


@given(st.binary(max_size=80))
def test_any_line_is_a_command_or_a_command_error(line: bytes) -> None:
    try:
        command = parse_command(line)
    except CommandError:
        return
    assert command.verb
    assert command.argument.isprintable()


@pytest.mark.parametrize(
    "unit", ["@a,", "@a.test,", '"', '"\\', "<", "\\", "a.", "@[", '""', "(", '<"', "a@"], ids=range(12)
)
def test_time_is_linear_in_the_length(unit: str) -> None:
    text = "TO:<" + unit * (60_000 // len(unit))

    def parsed() -> None:
        for tail in ("", ">", '">', ":a@b.test>", " A=b"):
            with pytest.raises(CommandError):
                parse_rcpt(text + tail, POSTMASTER)

    costs_less_than(0.5, parsed)
