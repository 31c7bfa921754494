"""What a torture has tried, and what went wrong: the table that `make torture` prints."""

import sys
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Counts by kind of fault, and each complaint with the point where it arose."""

    tried: Counter[str] = field(default_factory=Counter)
    complaints: list[tuple[str, str, str]] = field(default_factory=list)

    def count(self, kind: str, number: int = 1) -> None:
        """Note that so many faults of a kind, or inputs, were tried."""
        self.tried[kind] += number

    def complain(self, kind: str, where: str, complaint: str | None) -> None:
        """Note what went wrong, and say it at once, since the table comes after hours; None is nothing."""
        if complaint is not None:
            self.complaints.append((kind, where, complaint))
            print(f"\n{kind}, {where}: {complaint}", file=sys.stderr, flush=True)

    def table(self) -> str:
        """Return a line for each kind: how many were tried, and how many went wrong."""
        wrong = Counter(kind for kind, _, _ in self.complaints)
        width = max(map(len, self.tried), default=0)
        lines = [f"{'':{width}}   tried  wrong"]
        lines += [f"{kind:{width}}  {number:6}  {wrong[kind]:5}" for kind, number in self.tried.items()]
        lines += [f"{kind}, {where}: {why}" for kind, where, why in self.complaints]
        return "\n".join(lines)
