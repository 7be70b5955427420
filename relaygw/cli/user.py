"""`relaygw user`: who has a login and a mailbox. The running service notices a changed file by itself."""

import argparse
from collections.abc import Callable

from relaygw.cli.answer import Answer, CommandError, UsageError, table
from relaygw.cli.context import Context
from relaygw.cli.password import ask_password
from relaygw.cli.verbs import add_verb
from relaygw.config.schema import Config
from relaygw.tables import userfile


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="user_verb", metavar="VERB", required=True)
    for name, sentence, run in (
        ("add", "add a user; the password is asked for, or read from standard input", add),
        ("remove", "remove a user; the mailbox stays", remove),
        ("passwd", "set a password; it is asked for, or read from standard input", passwd),
        ("list", "the users and their addresses", list_),
    ):
        verb = add_verb(verbs, name, sentence)
        verb.set_defaults(run=run)
        if name != "list":
            verb.add_argument("name", metavar="NAME", help="the user's name, without a domain")


def add(options: argparse.Namespace, context: Context) -> Answer:
    config = context.config
    path, name = _file(config), _name(options.name)
    if name in _names(path):
        raise CommandError(f"the user {name!r} exists already")
    _edit(lambda: userfile.add_user(path, name, ask_password(name)))
    return _told(config, name, "added")


def remove(options: argparse.Namespace, context: Context) -> Answer:
    path, name = _file(context.config), _name(options.name)
    _edit(lambda: userfile.remove_user(path, name))
    return Answer(document={"user": name, "done": "removed"}, text=f"{name} is removed; the mailbox stays.")


def passwd(options: argparse.Namespace, context: Context) -> Answer:
    path, name = _file(context.config), _name(options.name)
    if name not in _names(path):
        raise CommandError(f"there is no user {name!r}")
    _edit(lambda: userfile.set_password(path, name, ask_password(name)))
    return _told(context.config, name, "password set")


def list_(_: argparse.Namespace, context: Context) -> Answer:
    config = context.config
    users = [{"name": name, "addresses": _addresses(config, name)} for name in _names(_file(config))]
    rows = [(user["name"], ", ".join(user["addresses"])) for user in users]
    return Answer(document=users, text=table(("NAME", "ADDRESSES"), rows) if rows else "There are no users.")


def _told(config: Config, name: str, done: str) -> Answer:
    addresses = _addresses(config, name)
    text = f"{name}: {done}. Addresses: {', '.join(addresses) or 'none, there are no local domains'}."
    return Answer(document={"user": name, "done": done, "addresses": addresses}, text=text)


def _addresses(config: Config, name: str) -> list[str]:
    return [f"{name}@{domain}" for domain in config.domains]


def _file(config: Config) -> str:
    if config.directory.kind != "file" or not config.directory.users:
        raise UsageError("the configuration names no users file (directory.users)")
    return config.directory.users


def _name(text: str) -> str:
    try:
        return userfile.canonical_name(text)
    except userfile.UsersError as error:
        raise UsageError(str(error)) from None


def _names(path: str) -> tuple[str, ...]:
    try:
        return userfile.list_users(path)
    except FileNotFoundError:
        return ()
    except userfile.UsersError as error:
        raise CommandError(str(error)) from None


def _edit(change: Callable[[], None]) -> None:
    try:
        change()
    except userfile.UsersError as error:
        raise CommandError(str(error)) from None
