"""Label selectors of tasks and labels of nodes, as Ray reads them.

Source: `python/ray/_private/label_utils.py` for the syntax, `SchedulingNode._satisfies_label_constraints` in
`ray/autoscaler/v2/scheduler.py` for the meaning. A node without a label passes each `!v` and `!in(a,b)`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Labels that Ray puts on its nodes. Autoscalers don't know them before a node runs: see `NodeType.labels_when_running`.
NODE_ID = "ray.io/node-id"
NODE_GROUP = "ray.io/node-group"
ACCELERATOR_TYPE = "ray.io/accelerator-type"

_WORD = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_SELECTOR = re.compile(rf"(!?)(?:in\(({_WORD}(?:, ?{_WORD})*)\)|({_WORD}))")
_KEY = re.compile(rf"(?:{_WORD}(?:\.{_WORD})*/)?{_WORD}")


@dataclass(frozen=True)
class Selector:
    """A condition on the value of one label: one of `values`, or none of them if `negated`."""

    values: tuple[str, ...]
    negated: bool = False

    def accepts(self, value: str | None) -> bool:
        """Return True if a node with this value satisfies the selector. The value is None without the label."""
        return (value in self.values) != self.negated


def parse_selector(text: str) -> Selector:
    """Parse `v`, `!v`, `in(a,b)` or `!in(a,b)`. Raises ValueError."""
    if text == "":
        return Selector(("",))
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no label selector: write v, !v, in(a,b) or !in(a,b)")
    negation, several, single = found.groups()
    values = tuple(word.strip() for word in several.split(",")) if several else (single,)
    return Selector(values, bool(negation))


def check_selectors(selectors: Mapping[str, str]) -> None:
    """Raise ValueError if a key or a selector isn't valid in Ray, or names a label whose values nobody can know."""
    for key, text in selectors.items():
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"{key!r} is no label key: write a name such as market, or a prefix/name")
        if key == NODE_ID:
            raise ValueError(f"{NODE_ID} can't select nodes here, because each trial has nodes with other ids")
        parse_selector(text)


def satisfies(labels: Mapping[str, str], selectors: Mapping[str, str]) -> bool:
    """Return True if a node with `labels` satisfies all `selectors`."""
    return all(parse_selector(text).accepts(labels.get(key)) for key, text in selectors.items())
