"""A terminal whose text can be read."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

Show = Callable[[RenderableType], str]


@pytest.fixture
def show() -> Show:
    """The text of a table on a wide screen without colours."""

    def shown(renderable: RenderableType) -> str:
        console = Console(file=io.StringIO(), width=160)
        console.print(renderable, highlight=False)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    return shown
