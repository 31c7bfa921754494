"""Processes for simulations from Python: many in a shell, one in a script that workers would run again."""

import subprocess
import sys
from pathlib import Path

PRINT = "from orchestrator.api.runs import _engine; print(_engine(None, None).processes)"
THREE_CORES = "import os; os.sched_getaffinity = lambda _: {0, 1, 2}"


def test_a_script_uses_one_process_by_default(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"{THREE_CORES}\n{PRINT}")

    assert output_of(str(script)) == "1"


def test_a_shell_uses_a_process_for_each_core() -> None:
    assert output_of("-c", f"{THREE_CORES}; {PRINT}") == "3"


def output_of(*arguments: str) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return result.stdout.strip()
