"""The workers of a Dask cluster that is there already.

Dask gives the point of a worker that died to another; the sweep holds only a few points more than the cluster can do at
once. A cluster forgets what it was asked for when the sweep that asked is gone.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, final

from hamiltonians.errors import InputError, must_be
from qunn.sweeping.call import Outcome, called, died
from qunn.sweeping.points import Point

if TYPE_CHECKING:
    from distributed import Client, Future

    _Asked = dict[str, tuple[Point, Future[Outcome]]]

_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:[0-9]{1,5}")
_PATIENCE = 10  # seconds for the cluster to answer
_AHEAD = 2  # points a thread of the cluster, so that none waits for this machine


@final
class DaskWorkers:
    """All workers of the cluster whose scheduler has an address such as tcp://192.168.0.7:8786.

    Raises
    ------
    InputError : dask is not installed, the cluster does not answer, or it has no workers; later, that it is lost or its
        workers cannot import qunn.
    """

    def __init__(self, address: str, threads: int) -> None:
        self._address, self._threads = address, threads
        self._client = _client(address)
        if not self._client.nthreads():
            self.close()
            raise must_be("--dask", "a cluster with workers", f"{address} without any")

    def outcomes(self, points: Iterator[Point]) -> Iterator[tuple[Point, Outcome]]:
        """What comes of the points, in the order in which they are finished."""
        asked: _Asked = {}  # a cluster forgets what nobody holds
        finished: SimpleQueue[Future[Outcome]] = SimpleQueue()
        try:
            while True:
                self._fill(points, asked, finished)
                if not asked:
                    return
                future = finished.get()
                point, _ = asked.pop(str(future.key))
                yield point, self._outcome(future)
        except OSError as error:  # whatever is asked of the cluster while its connection breaks
            raise self._lost() from error
        finally:
            self.close()

    def close(self) -> None:
        """Leave the cluster, which goes on without what this sweep asked for."""
        self._client.close(timeout=2)

    def _fill(self, points: Iterator[Point], asked: _Asked, finished: SimpleQueue[Future[Outcome]]) -> None:
        room = _AHEAD * max(1, sum(self._client.nthreads().values()))  # workers come and go
        while len(asked) < room:
            point = next(points, None)
            if point is None:
                return
            future = self._client.submit(called, point, self._threads, key=f"qunn-sweep-{point.key}", pure=False)
            asked[str(future.key)] = point, future
            future.add_done_callback(finished.put)

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        from distributed import KilledWorker

        try:
            found = future.result()
        except KilledWorker:  # Dask has tried it more often than a local sweep would
            return died(None)
        except Exception as error:
            raise self._lost() from error
        assert isinstance(found, Outcome)
        return found

    def _lost(self) -> InputError:
        kept = "finished points are in the table, and the same command goes on"
        return InputError(f"`--dask` must stay until the end, but {self._address} is lost; {kept}", "--dask")


def _client(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("`--dask` must have the package distributed: pip install distributed", "--dask") from error
    wanted = "the address of a Dask scheduler such as tcp://host:8786"
    if not _ADDRESS.fullmatch(address):
        raise must_be("--dask", wanted, address)
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is lost is said in one line, here
    try:
        kind = asyncio.run(asyncio.wait_for(_kind(address), _PATIENCE))
    except (OSError, ValueError) as error:
        why = f"nothing answers as one at {address} within {_PATIENCE} s"
        raise InputError(f"`--dask` must be {wanted}, but {why}", "--dask") from error
    if kind != "Scheduler":
        raise must_be("--dask", wanted, f"{address} of a {kind}")
    return Client(address, timeout=_PATIENCE, set_as_default=False)


async def _kind(address: str) -> str:
    """What answers there. A client would wait for ever where a server of another kind takes the call."""
    from distributed.core import rpc

    async with rpc(address, timeout=_PATIENCE) as there:
        return str((await there.identity()).get("type"))
