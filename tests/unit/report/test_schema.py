"""The documented JSON schema is made from the code; `make schema` writes it again."""

from pathlib import Path

from orchestrator.report.json_document import schema

DOCUMENTED = Path(__file__).parents[3] / "docs" / "schema" / "sweep.schema.json"


def test_the_documented_schema_is_the_one_of_the_code() -> None:
    assert DOCUMENTED.read_text() == schema()
