"""A load generator that costs little: keep-alive connections on one epoll, requests made beforehand, answers counted.

``closed``: each connection sends its next request when it has its answer. ``open_loop``: requests are due at a steady
rate, whether the server keeps up or not, and each one's latency counts from when it was due.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator


class Answers:
    """What came back: how many by status, how long it took, and each one's latency in seconds."""

    def __init__(self) -> None:
        self.statuses: dict[bytes, int] = {}
        self.latencies: list[float] = []
        self.seconds = 0.0
        self.last = b""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """That quantile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(path: str, body: bytes = b"", *, key: str = "", method: str = "POST") -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if body:
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection:
    __slots__ = ("begun", "buffer", "sock", "unsent", "wanted")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.buffer = b""
        self.unsent = memoryview(b"")
        self.begun = 0.0
        self.wanted = -1

    def send(self, data: bytes, at: float) -> None:
        self.begun, self.wanted, self.buffer = at, -1, b""
        self.unsent = memoryview(data)
        self.push()

    def push(self) -> None:
        try:
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            pass

    def pull(self) -> bool:
        """Read what is there; whether the answer is whole."""
        self.buffer += self.sock.recv(1 << 20)
        if not self.buffer:
            raise ConnectionError("the server closed the connection")
        if self.wanted < 0:
            head, found, _ = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return False
            lower = head.lower()
            start = lower.index(b"content-length:") + 15
            end = lower.find(b"\r\n", start)
            self.wanted = len(head) + 4 + int(lower[start : end if end > 0 else None])
        return len(self.buffer) >= self.wanted


def run(
    port: int,
    connections: int,
    requests: Iterator[bytes],
    *,
    rate: float = 0.0,
    check: Callable[[bytes], None] | None = None,
) -> Answers:
    """Send all the requests; ``rate`` a second (open loop), or each connection one after the other (closed)."""
    pool = [_Connection(port) for _ in range(connections)]
    by_fd = {one.sock.fileno(): one for one in pool}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    idle, answers, busy = deque(pool), Answers(), 0
    waiting: deque[tuple[bytes, float]] = deque()
    more, sent = True, 0
    began = time.perf_counter()
    while more or waiting or busy:
        now = time.perf_counter()
        while more and (len(waiting) < len(idle) if not rate else sent < (now - began) * rate):
            following = next(requests, None)
            if following is None:
                more = False
                break
            waiting.append((following, began + sent / rate if rate else 0.0))
            sent += 1
        while waiting and idle:
            data, due = waiting.popleft()
            idle.popleft().send(data, due or time.perf_counter())
            busy += 1
        for fd, event in poll.poll(0.001 if rate else 1.0):
            one = by_fd[fd]
            if event & select.EPOLLOUT and one.unsent:
                one.push()
            if event & select.EPOLLIN and one.begun:
                try:
                    whole = one.pull()
                except BlockingIOError:
                    continue
                if whole:
                    answers.latencies.append(time.perf_counter() - one.begun)
                    status = one.buffer[9:12]
                    answers.statuses[status] = answers.statuses.get(status, 0) + 1
                    answers.last = one.buffer
                    if check is not None:
                        check(one.buffer)
                    one.begun = 0.0
                    busy -= 1
                    idle.append(one)
    answers.seconds = time.perf_counter() - began
    for one in pool:
        one.sock.close()
    return answers
