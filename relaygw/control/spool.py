"""The spool itself, as requests and JSON answers: messages that were set aside, and archives."""

from relaygw.control.asked import MAX_IDS, Asked, BadRequest, known, number, text, texts
from relaygw.control.collaborators import SpoolOperations
from relaygw.control.shapes import Json


async def damaged(spool: SpoolOperations) -> Json:
    """What was set aside because it cannot be read."""
    return {"messages": [{"id": each.queue_id, "error": each.error} for each in await spool.damaged()]}


async def change(spool: SpoolOperations, verb: str, asked: Asked) -> Json:
    """`retry` or `remove`, for the ids that are given."""
    known(asked, "id")
    if verb not in ("retry", "remove"):
        raise BadRequest(f"there is no verb {verb[:50]!r}; known are retry, remove")
    act, word = (spool.retry, "in the queue again") if verb == "retry" else (spool.remove, "gone for good")
    answers = []
    for queue_id in dict.fromkeys(texts(asked, "id", MAX_IDS)):
        trouble = await act(queue_id)
        answers.append({"id": queue_id, "done": not trouble, "message": trouble or word})
    return {"verb": verb, "messages": answers}


async def reindex(spool: SpoolOperations, asked: Asked) -> Json:
    """The index of the queue anew."""
    known(asked)
    await spool.reindex()
    return {"reindexing": True}


async def take_in(spool: SpoolOperations, asked: Asked) -> Json:
    """A slice of the archive at `path`, from `offset`; the answer says where to go on."""
    known(asked, "path", "offset")
    path = text(asked, "path")
    if not path:
        raise BadRequest("path: the absolute path of an archive is wanted")
    try:
        return dict(await spool.take_in(path, number(asked, "offset", 0, 1 << 62)))
    except ValueError as error:
        raise BadRequest(f"path: {error}") from None
