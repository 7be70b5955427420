"""The book of keys survives, is its owner's alone, has one writer at a time, and is never guessed at."""

import contextlib
import json
import os
import threading
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaygw import keybook, keys
from relaygw.config.schema import Config, DkimKeyConfig, KeyRotationConfig, QueueConfig, RetryConfig
from relaygw.core.dkim_rotation import Key, Ring, Stage, View
from relaygw.keybook import BookError

PEM = keys.generate("ed25519")


def key(selector: str, folder: str = "/etc/relaygw/dkim", stage: Stage = Stage.SIGNING) -> Key:
    return Key(
        domain="example.com",
        selector=selector,
        algorithm="ed25519",
        private_key=f"{folder}/example.com.{selector}.pem",
        record=keys.record(PEM),
        stage=stage,
        made=1.5,
        seen=2.5,
        view=View.RIGHT,
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """One key in the configuration, s1."""
    (tmp_path / "dkim").mkdir()
    (tmp_path / "dkim" / "example.com.s1.pem").write_bytes(PEM)
    entry = DkimKeyConfig(
        domain="example.com", selector="s1", private_key=str(tmp_path / "dkim" / "example.com.s1.pem"), seals=True
    )
    return Config(hostname="mx.test", state=str(tmp_path), dkim=(entry,), path=str(tmp_path / "relaygw.toml"))


def book(config: Config) -> Path:
    return Path(keybook.book_path(config.path))


def test_what_is_written_is_read_and_nobody_else_reads_it(config: Config) -> None:
    ring = (key("s2", str(book(config).parent)), key("s3", "/elsewhere", Stage.RETIRED))
    assert keybook.change(str(book(config)), lambda before: before + ring) == ring
    assert keybook.read(str(book(config))) == ring
    assert oct(book(config).stat().st_mode & 0o777) == "0o600"
    assert sorted(os.listdir(book(config).parent)) == ["example.com.s1.pem", "keys.json", "keys.json.lock"]
    files = [row["private_key"] for row in json.loads(book(config).read_text())["keys"]]
    assert files == ["example.com.s2.pem", "/elsewhere/example.com.s3.pem"], "the folder may move"
    assert "PRIVATE" not in book(config).read_text()


def test_no_change_writes_nothing(config: Config) -> None:
    keybook.change(str(book(config)), lambda _: (key("s2"),))
    before = book(config).stat().st_ino
    keybook.change(str(book(config)), lambda ring: ring)
    assert book(config).stat().st_ino == before
    keybook.change(str(book(config)), lambda _: ())
    assert book(config).stat().st_ino != before


def test_a_change_that_fails_changes_nothing(config: Config) -> None:
    keybook.change(str(book(config)), lambda _: (key("s2"),))
    with pytest.raises(ZeroDivisionError):
        keybook.change(str(book(config)), lambda _: (1 // 0,))
    assert keybook.read(str(book(config))) == (key("s2"),)


def test_writers_wait_for_each_other(config: Config) -> None:
    path = str(book(config))

    def add(number: int) -> None:
        keybook.change(path, lambda ring: (*ring, key(f"s{number}")))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.selector for each in keybook.read(path)} == {f"s{number}" for number in range(8)}


def test_without_a_book_the_configuration_is_all_there_is(config: Config) -> None:
    assert keybook.in_use(config) == config.dkim
    assert keybook.in_use(attrs.evolve(config, path="")) == config.dkim, "a configuration that is no file has no book"
    assert not book(config).exists()


def test_a_replaced_key_of_the_configuration_is_no_longer_in_use(config: Config) -> None:
    def replaced(ring: Ring) -> Ring:
        return (attrs.evolve(ring[0], stage=Stage.RETIRED), key("s2"))

    keybook.change_keys(config, replaced)
    assert [each.selector for each in keybook.in_use(config)] == ["s2"]
    assert [(each.selector, each.configured) for each in keybook.all_keys(config)] == [("s1", True), ("s2", False)]


def test_a_key_of_the_configuration_that_cannot_be_read_is_still_asked_for(config: Config) -> None:
    keybook.change_keys(config, lambda ring: (*ring, key("s2")))
    os.unlink(config.dkim[0].private_key)
    assert [each.selector for each in keybook.in_use(config)] == ["s2", "s1"], "so that its fault is told"


def test_the_book_does_not_repeat_the_configuration(config: Config) -> None:
    keybook.change_keys(config, lambda ring: tuple(attrs.evolve(each, view=View.WRONG, fault="x") for each in ring))
    assert not book(config).exists()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"version": 2, "keys": []}', '{"version": 1}', '{"version": 1, "keys": [{}]}', "[" * 10**5],
)
def test_a_book_that_cannot_be_read_is_an_error_and_stays_as_it_is(config: Config, text: str) -> None:
    book(config).write_text(text)
    with pytest.raises(BookError, match="is no book of keys"):
        keybook.in_use(config)
    with pytest.raises(BookError):
        keybook.change(str(book(config)), lambda _: ())
    assert book(config).read_text() == text


@given(st.binary(max_size=200))
def test_any_octets_are_keys_or_one_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    with contextlib.suppress(BookError):
        assert isinstance(keybook.read(str(path)), tuple)


def test_a_lock_that_is_a_link_is_not_followed(config: Config, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    Path(f"{book(config)}.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(BookError, match="cannot be written"):
        keybook.change(str(book(config)), lambda _: ())


def test_a_record_stays_for_as_long_as_mail_may_wait(config: Config) -> None:
    def keep(**facts: object) -> float:
        return keybook.times_of(attrs.evolve(config, **facts)).keep

    day = 86400.0
    assert keep() == 7 * day
    assert keep(queue=QueueConfig(expire=10 * day)) == 10 * day
    assert keep(retries=(RetryConfig(name="r", expire=30 * day),)) == 30 * day
    assert keep(key_rotation=KeyRotationConfig(keep=60 * day)) == 60 * day
