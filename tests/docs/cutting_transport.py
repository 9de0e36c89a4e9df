"""A network that drops requests on their way and answers on their way back, by a seed."""

import random

import httpx


class CuttingTransport(httpx.BaseTransport):
    """Carries requests to the real server; loses a share before they arrive and a share of the answers."""

    def __init__(self, *, before: float = 0.0, after: float = 0.0, seed: int = 0) -> None:
        self._way = httpx.HTTPTransport()
        self._drawn = random.Random(seed)
        self._before = before
        self._after = after
        self.lost_before = 0
        self.lost_after = 0
        self.lose_next: set[str] = set()
        """Paths whose next answer is lost, whatever is drawn."""
        self.sent: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        self.sent.append(request)
        if self._drawn.random() < self._before:
            self.lost_before += 1
            raise httpx.ConnectError("lost on the way", request=request)
        response = self._way.handle_request(request)
        if request.url.path in self.lose_next or self._drawn.random() < self._after:
            self.lose_next.discard(request.url.path)
            self.lost_after += 1
            response.close()
            raise httpx.ReadError("the answer was lost", request=request)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._way.close()
