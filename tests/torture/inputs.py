"""Bad inputs: command lines, files of each format, requests to the exporter, and answers of Grafana and Prometheus."""

import contextlib
import http.server
import os
import random
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from orchestrator.cli.app import app
from orchestrator.grafana.client import TOKEN_VARIABLE
from orchestrator.metrics.exporter import Exporter
from orchestrator.metrics.server import MetricsServer
from tests.torture.commands import run
from tests.torture.figures import Figures
from tests.torture.mutations import as_json, as_json_lines, as_yaml, mutated_bytes, nasty_text
from tests.torture.points import SWEEP

HANGS_AFTER_S = 20.0
MEMORY = 4 * 2**30
ROOT = Path(__file__).parents[2]
# What starts or changes something outside the home.
_NOT_TRIED = {("stack", "up"), ("stack", "down")}
# What would take its time by right: these make it short. `sweep` and `simulate` only plan.
_ALWAYS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("sweep",): ("--dry-run",),
    ("simulate",): ("--dry-run",),
    ("observe",): ("--for", "1s"),
}
_NEVER = {"--install-completion", "--show-completion", "--watch", "--home"}


@dataclass(frozen=True)
class Bench:
    """What inputs are tried on: a home with a finished sweep, which each gets a copy of."""

    folder: Path
    base: Path

    @classmethod
    def made(cls, folder: Path) -> "Bench":
        base = folder / "base"
        ended = run(base, *SWEEP)
        if ended.code:
            raise RuntimeError(ended.said)
        return cls(folder, base)

    @contextlib.contextmanager
    def home(self) -> Iterator[Path]:
        home = self.folder / "tried"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.base, home)
        yield home

    def complaint(self, home: Path, *arguments: str) -> str | None:
        """Return what is wrong with how a command ends, None if nothing; it runs in the bench's own folder."""
        ended = run(home, *arguments, timeout_s=HANGS_AFTER_S, memory=MEMORY)
        if ended.code == -signal.SIGXCPU:
            return f"hangs: {' '.join(arguments)[:300]}"
        complaint = ended.complaint()
        return complaint and f"{' '.join(arguments)[:300]}: {complaint}"


Tried = Callable[[Bench, random.Random], str | None]


def commands() -> dict[tuple[str, ...], Any]:
    """Return each command by its path, as click has it."""
    found: dict[tuple[str, ...], Any] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        if subcommands := getattr(command, "commands", None):
            waiting += [((*path, name), each) for name, each in subcommands.items()]
        elif path not in _NOT_TRIED:
            found[path] = command
    return dict(sorted(found.items()))


def command_line(bench: Bench, rng: random.Random) -> str | None:
    """Call a command with one to five options and arguments that have values of no use."""
    every = commands()
    path = rng.choice(list(every))
    words: list[str] = [*path, *_ALWAYS.get(path, ())]
    options = [each for each in every[path].params if each.opts[-1] not in _NEVER]
    for each in rng.sample(options, min(len(options), rng.randint(1, 5))):
        if each.param_type_name == "option":
            words.append(rng.choice(each.opts))
        if not getattr(each, "is_flag", False):
            words.append(nasty_text(rng))
    if rng.random() < 0.1:
        words.insert(rng.randrange(len(words) + 1), nasty_text(rng))
    with bench.home() as home:
        return bench.complaint(home, *words)


def _file(
    bench: Bench,
    rng: random.Random,
    seeds: Sequence[Path],
    change: Callable[[random.Random, bytes], bytes],
    calls: Sequence[tuple[str, ...]],
) -> str | None:
    path = bench.folder / "input"
    path.write_bytes(change(rng, rng.choice(seeds).read_bytes()))
    with bench.home() as home:
        complaint = bench.complaint(home, *(str(path) if word == "FILE" else word for word in rng.choice(calls)))
    if complaint is not None:
        kept = bench.folder / f"kept-{os.urandom(4).hex()}"
        shutil.copy(path, kept)
        complaint = f"{complaint} (input: {kept})"
    return complaint


def spec(bench: Bench, rng: random.Random) -> str | None:
    """Plan a sweep from a spec."""
    seeds = sorted((ROOT / "docs/examples").glob("*.yaml")) + sorted((ROOT / "examples").glob("*.yaml"))
    return _file(bench, rng, seeds, as_yaml, [("simulate", "--dry-run", "--spec", "FILE")])


def cluster_file(bench: Bench, rng: random.Random) -> str | None:
    """Plan a sweep on a cluster file."""
    seeds = [*sorted((ROOT / "cluster").glob("*.yaml")), *sorted((ROOT / "tests/data/cluster_files").glob("**/*.yaml"))]
    return _file(bench, rng, seeds, as_yaml, [("simulate", "--dry-run", "--upscaling-speed", "1", "--cluster", "FILE")])


def prices(bench: Bench, rng: random.Random) -> str | None:
    """Plan a sweep with a price file."""
    seed = bench.folder / "prices.yaml"
    seed.write_text("currency: USD\nper: hour\nm7i.2xlarge: 0.4\nm8g.2xlarge: 0.36\n")
    return _file(bench, rng, [seed], as_yaml, [("simulate", "--dry-run", "--upscaling-speed", "1", "--prices", "FILE")])


def trace_file(bench: Bench, rng: random.Random) -> str | None:
    """Read a stranger's trace."""
    calls = [
        ("validate", "FILE"),
        (
            "simulate",
            "--upscaling-speed",
            "1",
            "--tasks",
            "4",
            "--task-seconds",
            "1",
            "--boot-from",
            "FILE",
            "--parallel",
            "1",
        ),
    ]
    return _file(bench, rng, sorted(bench.base.rglob("*.jsonl")), as_json_lines, calls)


def trace_in_home(bench: Bench, rng: random.Random) -> str | None:
    """Read a sweep whose trace was changed."""
    with bench.home() as home:
        trace = rng.choice(sorted(home.rglob("*.jsonl")))
        trace.write_bytes(as_json_lines(rng, trace.read_bytes()))
        return bench.complaint(home, *_reading(bench, rng, trace.stem))


def ledger(bench: Bench, rng: random.Random) -> str | None:
    """Read a stranger's ledger: changed bytes, or changed documents in it."""
    with bench.home() as home:
        file = home / "ledger.db"
        if rng.random() < 0.3:
            file.write_bytes(mutated_bytes(rng, file.read_bytes()))
        else:
            _change_a_cell(rng, file)
        return bench.complaint(home, *_reading(bench, rng, "@last"))


def _change_a_cell(rng: random.Random, file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type='table'")]
        table = rng.choice(tables)
        columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
        column = rng.choice(columns)
        (value,) = database.execute(f"select {column} from {table}").fetchone() or (None,)
        changed = nasty_text(rng)
        if isinstance(value, str) and value.startswith(("{", "[")):
            changed = as_json(rng, value.encode()).decode(errors="replace")
        with contextlib.suppress(sqlite3.Error):  # two rows may not have one id
            database.execute(f"update {table} set {column} = ?", (changed,))
            database.commit()


def _reading(bench: Bench, rng: random.Random, wanted: str) -> tuple[str, ...]:
    to = str(bench.folder / "written")
    return rng.choice(
        [
            ("list",),
            ("list", "--json"),
            ("show", wanted),
            ("show", "--json"),
            ("report", "--format", "md", "--to", to, "--force"),
            ("report", "--format", "html", "--to", to, "--force"),
            ("export", "--format", "csv", "--to", f"{to}.d", "--force"),
            ("explain", wanted),
            ("recommend",),
            ("compare", "speed=1", "speed=5"),
            ("validate",),
            ("push", "--to", "http://127.0.0.1:9"),
            ("clean", "--dry-run"),
        ]
    )


def send_request(url: tuple[str, int], rng: random.Random) -> None:
    """Send the exporter a request as no client writes it."""
    line = (
        rng.choice(("GET", "POST", "HEAD", "\0", "A" * 9000))
        + " "
        + rng.choice(("/metrics", "/sd", "/", nasty_text(rng)))
    )
    headers = "".join(f"{nasty_text(rng)}: {nasty_text(rng)}\r\n" for _ in range(rng.randint(0, 150)))
    version = rng.choice(("1.1", "1.0", "9", "", nasty_text(rng)))
    sent = f"{line} HTTP/{version}\r\nHost: {nasty_text(rng)}\r\n{headers}\r\n".encode(errors="replace")
    if rng.random() < 0.5:
        sent = mutated_bytes(rng, sent)
    with contextlib.suppress(OSError), socket.create_connection(url, timeout=5) as client:
        client.sendall(sent[:100_000])
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def requests_to_exporter(number: int, seed: int) -> str | None:
    """Send so many of them; afterwards the exporter must answer as before."""
    with MetricsServer(Exporter("f00dfeed"), port=0) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for index in range(number):
            send_request((host, int(port)), random.Random(f"{seed}:request:{index}"))
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = client.recv(65536)
        return None if b" 200 " in answer[:20] else f"after {number} requests: {answer[:100]!r}"


class _Liar(http.server.BaseHTTPRequestHandler):
    """Answers each request with nonsense that follows from the seed."""

    rng = random.Random(0)

    def _lie(self) -> None:
        body = self.rng.choice(
            (
                b"",
                b"{}",
                b"[]",
                b"null",
                b"<html>",
                b"\xff" * 100,
                b"[" * 50_000,
                b'{"status":"success","data":{"result":[[]]}}',
            )
        )
        if self.rng.random() < 0.5:
            body = as_json(self.rng, _ANSWER)
        self.send_response(
            self.rng.choice((200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 409, 412, 418, 429, 500, 503))
        )
        self.send_header("Content-Length", str(self.rng.choice((len(body), len(body), len(body) + 5, 0))))
        self.send_header("Content-Type", self.rng.choice(("application/json", "text/html", "", "x" * 500)))
        if self.rng.random() < 0.1:
            self.send_header("Location", self.rng.choice(("/", "file:///etc/passwd", "http://127.0.0.1:9/")))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _lie  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


_ANSWER = (
    b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.0,"2"]}]},'
    b'"version":"12.2.0","database":"ok","uid":"x","id":1,"folderUid":"x","url":"/d/x","message":"m","meta":{},"dashboard":{}}'
)


@contextlib.contextmanager
def liar(seed: str) -> Iterator[str]:
    """Run a server that lies, in a process of its own; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = http.server.HTTPServer(("127.0.0.1", port), _Liar)
    pid = os.fork()
    if pid == 0:
        _Liar.rng = random.Random(seed)
        server.serve_forever()
    server.server_close()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def answer(bench: Bench, rng: random.Random) -> str | None:
    """Push to a Grafana or a Prometheus that answers nonsense."""
    with bench.home() as home, liar(str(rng.random())) as url:
        calls = [
            ("push", "--to", url),
            ("dashboards", "push", "--url", url),
            ("dashboards", "push", "--url", url, "--datasource-url", url),
        ]
        return bench.complaint(home, *rng.choice(calls))


KINDS: dict[str, tuple[Tried, float]] = {
    "command lines": (command_line, 0.5),
    "specs": (spec, 0.1),
    "cluster files": (cluster_file, 0.03),
    "price files": (prices, 0.02),
    "traces": (trace_file, 0.05),
    "traces in a home": (trace_in_home, 0.1),
    "ledgers": (ledger, 0.08),
    "answers of Grafana and Prometheus": (answer, 0.02),
}
REQUESTS = 0.1
"""Each kind with its share of all inputs, and the share of requests to the exporter."""


def try_all(folder: Path, figures: Figures, number: int, seed: int, progress: Callable[[str], None]) -> None:
    """Try so many inputs in all; a complaint names the index with which its input can be made again."""
    bench = Bench.made(folder)
    os.chdir(folder)
    os.environ.update(
        AWS_EC2_METADATA_DISABLED="true", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", HOME=str(folder)
    )
    os.environ[TOKEN_VARIABLE] = "glsa_torture"
    for kind, (tried, share) in KINDS.items():
        for index in range(max(1, int(number * share))):
            progress(f"{kind}: {index}")
            figures.count(kind)
            figures.complain(kind, f"input {index}", tried(bench, random.Random(f"{seed}:{kind}:{index}")))
    requests = max(1, int(number * REQUESTS))
    progress(f"{requests} requests to the exporter")
    figures.count("requests to the exporter", requests)
    figures.complain("requests to the exporter", "", requests_to_exporter(requests, seed))
