"""Any header section gives findings for its DKIM signatures and its ARC chain, and none of them is a pass by chance."""

from relaygw.core import arc, dkim
from relaygw.core.content import BytesContent
from relaygw.core.question import Answer, AnswerStatus, Question, settle

KEY = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
SEEDS = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=a.test; s=s; t=1; x=9; l=3; i=@b.a.test;\r\n"
    b"\th=from : to:subject; q=dns/txt; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA\r\n"
    b"From: a@a.test\r\n\r\nx",
    b"ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=a.test; s=s; b=AAAA\r\n"
    b"ARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed/relaxed; d=a.test; s=s; h=from; bh=AAAA; b=AAAA\r\n"
    b"ARC-Authentication-Results: i=1; a.test; none\r\nFrom: a@a.test\r\n\r\nx",
    b"DKIM-Signature: v=1;; =; a=x\r\n",
)


def answer(question: Question) -> Answer:
    return Answer(status=AnswerStatus.FOUND, records=(KEY,))


def one_input(data: bytes) -> None:
    content = BytesContent(data)
    found = settle(dkim.verify(content, 5.0), answer)
    assert len(found.signatures) <= 8
    assert all(each.result is not dkim.Result.PASS for each in found.signatures)
    assert all(each.reason for each in found.signatures)
    assert settle(arc.verify(content, 5.0), answer).result is not arc.Result.PASS
