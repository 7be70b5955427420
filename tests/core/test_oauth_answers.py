"""Token endpoints' answers as they are published (`tests/data/oauth/token_answers.yaml`): a token or a clear error."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from relaygw.core.oauth import OauthError, parse_token
from relaygw.core.oauth_hints import GOOGLE, MICROSOFT, hint_of

FILE = Path(__file__).parents[1] / "data" / "oauth" / "token_answers.yaml"
CASES = yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_answer_is_a_token_or_one_error_with_advice(case: dict[str, Any]) -> None:
    body = case["text"].encode() if "text" in case else json.dumps(case["body"]).encode()
    if "token" in case:
        token = parse_token(case["status"], body)
        assert (token.access, token.lifetime, token.refresh) == (
            case["token"],
            case["lifetime"],
            case.get("refresh", ""),
        )
        return
    with pytest.raises(OauthError) as caught:
        parse_token(case["status"], body)
    assert all(words in str(caught.value) for words in case["says"]), caught.value
    assert caught.value.permanent is case["permanent"]
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("hint", [*MICROSOFT.values(), *GOOGLE.values()])
def test_hints_are_short(hint: str) -> None:
    assert len(hint) < 120


@pytest.mark.parametrize(
    "document", [{}, {"error": 7, "error_description": ["x"]}, {"error_description": "AADSTS1: x"}, {"error": "x" * 9}]
)
def test_what_is_not_known_has_no_hint(document: dict[str, Any]) -> None:
    assert hint_of(document) == ""
