"""The floor: the same prompts sent with aiohttp alone. Nothing is kept, scored or retried.

python bare.py URL PROMPTS.jsonl IN_FLIGHT
"""

import asyncio
import sys
from collections.abc import Iterator

import aiohttp
import orjson


async def work(session: aiohttp.ClientSession, url: str, lines: Iterator[bytes]) -> int:
    """Take prompts off the shared iterator until there are none; how many were answered."""
    done = 0
    for line in lines:
        messages = [{"role": "user", "content": orjson.loads(line)["input"]}]
        body = {"model": "stub", "messages": messages, "max_tokens": 16, "temperature": 0, "seed": 1}
        async with session.post(f"{url}/chat/completions", data=orjson.dumps(body)) as response:
            answer = orjson.loads(await response.read())
        done += bool(answer["choices"][0]["message"]["content"])
    return done


async def main(url: str, path: str, in_flight: int) -> None:
    """Send every prompt of a file."""
    with open(path, "rb") as file:  # noqa: ASYNC230, PTH123
        lines = iter(file)
        headers = {"Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(limit=in_flight)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            done = await asyncio.gather(*(work(session, url, lines) for _ in range(in_flight)))
    print(sum(done))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
