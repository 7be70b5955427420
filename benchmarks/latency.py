"""An open-loop SMTP client: messages leave at a constant rate, each on a new connection, whether or not earlier ones
were answered. Prints one JSON list: milliseconds to the final 250, sorted, counted from the connection or, with "data",
from the end of data.

    python benchmarks/latency.py PORT RATE SECONDS SIZE [data]
"""

import asyncio
import json
import sys
import time

_BODY_LINE = b"x" * 70 + b"\r\n"


def _message(size: int) -> bytes:
    head = b"From: <sender@example.test>\r\nTo: <rcpt@dest.test>\r\nSubject: latency\r\n\r\n"
    return head + _BODY_LINE * ((size - len(head)) // len(_BODY_LINE)) + b".\r\n"


async def _reply(reader: asyncio.StreamReader) -> bytes:
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            return line


async def _send(port: int, message: bytes, from_data: bool) -> float:
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await _reply(reader)
        for command in (b"EHLO client.example.test", b"MAIL FROM:<sender@example.test>", b"RCPT TO:<rcpt@dest.test>"):
            writer.write(command + b"\r\n")
            await _reply(reader)
        writer.write(b"DATA\r\n")
        await _reply(reader)
        if from_data:
            started = time.perf_counter()
        writer.write(message)
        answer = await _reply(reader)
        if not answer.startswith(b"250"):
            raise RuntimeError(f"not accepted: {answer!r}")
        return time.perf_counter() - started
    finally:
        writer.write(b"QUIT\r\n")
        writer.close()


async def _main(port: int, rate: float, seconds: float, size: int, from_data: bool) -> None:
    message, tasks, begun = _message(size), [], time.perf_counter()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(_send(port, message, from_data)))
    times = await asyncio.wait_for(asyncio.gather(*tasks), 120)
    print(json.dumps(sorted(round(one * 1000, 3) for one in times)))


if __name__ == "__main__":
    asyncio.run(
        _main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5:] == ["data"])
    )
