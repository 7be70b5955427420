"""The console: nobody without the token sees anything, and nothing from a message gets out of its place in the page."""

import base64
import re
from pathlib import Path

import pytest
from operators import NOW, Answered, Office, ask, message
from twisted.web.server import Site

from relaygw.control.console import Console
from relaygw.control.login import LIFETIME, MAX_SESSIONS, Login
from relaygw.control.web import MAX_FORM, FormRequest, make_site

TOKEN = "correct-horse"
HOSTILE = '<script>alert("1")</script>'


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def office() -> Office:
    hostile = message("0a", "a@example.com", "<img>@world.example".replace("<img>", '"<img>"'), reply=HOSTILE)
    return Office(hostile, message("0b", held=HOSTILE))


@pytest.fixture
def site(office: Office, token_file: Path) -> Site:
    return make_site(console(office, token_file).app, office.clock, "console", FormRequest)


def console(office: Office, token_file: Path, **more: bool) -> Console:
    return Console(office.parts, Login(str(token_file), office.clock.seconds), NOW, **more)


def log_in(site: Site, token: str = TOKEN) -> Answered:
    return ask(site, "POST", "/login", f"token={token}".encode(), Content_Type="application/x-www-form-urlencoded")


def cookie_of(answer: Answered) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("page", ["/", "/queue", "/queue/0a", "/trace", "/trace?text=known", "/metrics"])
def test_without_the_token_there_is_only_the_form(site: Site, page: str) -> None:
    for headers in ({}, {"Cookie": "relaygw=guess"}, {"Cookie": "relaygw="}):
        answer = ask(site, "GET", page, **headers)
        assert (answer.status, answer.headers["location"], answer.body) == (303, "/login", b"")
    for offered in (
        "Bearer wrong",
        "Bearer ",
        "Basic !!",
        "Basic " + base64.b64encode(b"x:wrong").decode(),
        "Digest x",
    ):
        answer = ask(site, "GET", page, Authorization=offered)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert "example.com</strong>" in answer.text
        assert "0a" not in answer.text


def test_the_token_opens_by_form_by_bearer_and_by_basic(site: Site) -> None:
    begun = log_in(site)
    assert (begun.status, begun.headers["location"]) == (303, "/")
    assert re.fullmatch(
        r"relaygw=[\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=strict", begun.headers["set-cookie"]
    )
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    for headers in (
        {"Cookie": cookie_of(begun)},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"Basic {basic}"},
    ):
        assert ask(site, "GET", "/", **headers).status == 200


def test_a_wrong_token_is_refused_and_never_repeated(site: Site) -> None:
    answer = log_in(site, "sekrit")
    assert answer.status == 403
    assert "That is not the token." in answer.text
    assert "sekrit" not in answer.text
    assert "set-cookie" not in answer.headers
    assert log_in(site, "").status == 403
    assert ask(site, "POST", "/login").status == 403


def test_logging_out_ends_the_session(site: Site) -> None:
    cookie = cookie_of(log_in(site))
    ended = ask(site, "POST", "/logout", Cookie=cookie)
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert ask(site, "GET", "/", Cookie=cookie).status == 303


def test_a_session_ends_in_time_and_with_its_token(site: Site, office: Office, token_file: Path) -> None:
    cookie = cookie_of(log_in(site))
    office.clock.advance(LIFETIME - 1)
    assert ask(site, "GET", "/", Cookie=cookie).status == 200
    office.clock.advance(1)
    assert ask(site, "GET", "/", Cookie=cookie).status == 303
    cookie = cookie_of(log_in(site))
    token_file.write_text("another")
    assert ask(site, "GET", "/", Cookie=cookie).status == 303
    assert log_in(site).status == 403
    assert log_in(site, "another").status == 303


def test_sessions_are_bounded_and_the_oldest_goes_first(office: Office, token_file: Path) -> None:
    login = Login(str(token_file), office.clock.seconds)
    cookies = []
    for _ in range(MAX_SESSIONS + 1):
        cookies.append(login.begin(TOKEN))
        office.clock.advance(1)
    assert [login.allows(cookie, None) for cookie in cookies] == [False] + [True] * MAX_SESSIONS


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_without_a_token_nobody_gets_in(site: Site, token_file: Path, content: str | None) -> None:
    token_file.unlink()
    if content is not None:
        token_file.write_text(content)
    assert log_in(site, "").status == 503
    assert ask(site, "GET", "/", Authorization="Bearer ").status == 503


def test_over_tls_the_cookie_stays_there(office: Office, token_file: Path) -> None:
    site = make_site(console(office, token_file, secure=True).app, office.clock)
    assert "; Secure" in log_in(site).headers["set-cookie"]


@pytest.mark.parametrize(
    "page", ["/", "/queue", "/queue/0a", "/queue/0b", "/trace?text=known", f"/trace?text={HOSTILE}"]
)
def test_hostile_text_is_escaped_and_the_page_may_load_nothing(site: Site, office: Office, page: str) -> None:
    office.traced = [
        {"time": "t", "event": "refused", "reply": HOSTILE, "recipients": [HOSTILE, "b"], "session": HOSTILE}
    ]
    answer = ask(site, "GET", page.replace('"', "%22").replace("<", "%3C"), Authorization=f"Bearer {TOKEN}")
    assert answer.status == 200
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    if page != "/":
        assert "&lt;script&gt;" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_the_queue_is_filtered_and_paged(office: Office, token_file: Path) -> None:
    office = Office(*(message(f"{number:03}", reply="slow down" if number % 2 else "") for number in range(250)))
    site = make_site(console(office, token_file).app, office.clock)
    page = ask(site, "GET", "/queue?reply=slow&sender=&held=", Authorization=f"Bearer {TOKEN}").text
    assert page.count('<td><a href="/queue/') == 100
    assert 'value="slow"' in page
    (more,) = re.findall(r'<a href="(/queue\?[^"]+)">More', page)
    assert more == "/queue?reply=slow&amp;after=199"
    rest = ask(site, "GET", more.replace("&amp;", "&"), Authorization=f"Bearer {TOKEN}").text
    assert rest.count('<td><a href="/queue/') == 25
    assert ">More<" not in rest


@pytest.mark.parametrize(("page", "status"), [("/queue?sendr=x", 400), ("/queue/zz", 404), ("/nope", 404)])
def test_errors_are_pages_too(site: Site, page: str, status: int) -> None:
    answer = ask(site, "GET", page, Authorization=f"Bearer {TOKEN}")
    assert answer.status == status
    assert 'class="fault"' in answer.text


def test_the_console_changes_nothing(site: Site) -> None:
    """No address of it but login and logout takes a POST."""
    for page in ("/", "/queue", "/queue/hold", "/queue/0a", "/trace", "/reload"):
        assert ask(site, "POST", page, b"{}", Authorization=f"Bearer {TOKEN}").status in (404, 405)


def test_the_style_is_there(site: Site) -> None:
    answer = ask(site, "GET", "/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "body" in answer.text


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("page", ["/login", "/queue", "/nowhere"])
def test_a_form_of_nobody_knows_whom_has_so_many_octets_and_not_one_more(site: Site, page: str, kind: str) -> None:
    form = f"token={TOKEN}&".encode().ljust(MAX_FORM, b"&")
    assert ask(site, "POST", page, form, Content_Type=kind).status != 413
    assert ask(site, "POST", page, form + b"&", Content_Type=kind).status == 413
