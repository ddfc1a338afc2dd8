"""The endpoint itself: FastAPI as its documentation shows it, around one SQL function.

    python -m benchmarks.peers.fastapi_app --dsn DSN --listening 3 --sessions 16

`--listening`: the number of a listening socket that was handed over. Says READY when it is.
"""

import argparse
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal

import uvicorn
from fastapi import FastAPI, HTTPException
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, Field

from benchmarks.peers.callers import READY

BACKLOG: Final = 2_048
PLACE: Final = "SELECT by_hand.place(%s, %s, %s)"


class Line(BaseModel):
    goods: int
    nums: Literal[1]


class Wanted(BaseModel):
    user: int
    lines: Annotated[list[Line], Field(min_length=2, max_length=2)]


class Placed(BaseModel):
    order: int
    user: int
    lines: list[Line]


def app(dsn: str, sessions: int) -> FastAPI:
    pool = AsyncConnectionPool(
        dsn, min_size=sessions, max_size=sessions, open=False, kwargs={"autocommit": True}
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            await pool.wait()
            print(READY, flush=True)
            yield

    api = FastAPI(lifespan=lifespan)

    @api.post("/orders", status_code=201)
    async def place(wanted: Wanted) -> Placed:
        one, other = wanted.lines
        async with pool.connection() as connection:
            cursor = await connection.execute(PLACE, (wanted.user, one.goods, other.goods))
            row = await cursor.fetchone()
        if row is None or row[0] is None:
            raise HTTPException(409, "sold out")
        return Placed(order=row[0], user=wanted.user, lines=wanted.lines)

    return api


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="An order a request.")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--listening", type=int, required=True)
    parser.add_argument("--sessions", type=int, required=True)
    args = parser.parse_args(arguments)
    config = uvicorn.Config(
        app(args.dsn, args.sessions),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=BACKLOG,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=args.listening)])


if __name__ == "__main__":
    main(sys.argv[1:])
