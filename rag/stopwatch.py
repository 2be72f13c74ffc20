"""How long each stage of an answer took."""

import time


class Stopwatch:
    """Measures stages that follow each other."""

    def __init__(self) -> None:
        """Start."""
        self.laps: dict[str, float] = {}  # milliseconds by stage
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.laps[stage] = round((now - self._since) * 1000, 1)
        self._since = now
