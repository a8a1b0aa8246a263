"""The real W&B client against a server of our own: fixtures to be imported, and readers of what it writes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from helpers.wandb_server import Server
from rich.console import Console

from rl_warmup.tracking.upload import publish

KEY = "0123456789" * 4


@dataclass(frozen=True)
class Choice:
    name: str = "wandb"
    mode: str = "auto"
    project: str = "rl_warmup"
    entity: str | None = None


@pytest.fixture(autouse=True)
def _fresh_client(monkeypatch, tmp_path):
    """A client that knows neither the tester's login nor another test's settings."""
    import wandb

    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.chdir(tmp_path)
    yield
    wandb.teardown()


def files(folder, prefix="offline-run"):
    return sorted(folder.glob(f"wandb/{prefix}-*/run-*.wandb"))


def decode(path):
    """The records that the client's own reader finds in a transaction log."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def of(kind, records):
    return [record[kind] for record in records if record["type"] == kind]


def rows(records):
    """History without the columns that the client adds."""
    return [shown(item["item"]) for item in of("history", records)]


def shown(row):
    """A row without what the client adds, and without the numbers of rows."""
    return {key: value for key, value in row.items() if key[0] != "_" and not key.startswith("rows/")}


@pytest.fixture
def log_in(monkeypatch):
    def to(url):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)

    return to


@pytest.fixture
def serve(log_in):
    servers = []

    def start(hangs=""):
        servers.append(Server(hangs))
        log_in(servers[0].url)
        return servers[0]

    yield start
    for server in servers:
        server.close()


class Recorded(Console):
    """A console that keeps the announcements of uploads, and which runs the server had when they were printed."""

    def __init__(self, server):
        super().__init__(file=io.StringIO())
        self.server, self.announced, self.sent_before = server, [], []

    def print(self, *texts, **options):
        if "will be sent" in str(texts):
            self.announced += texts
            self.sent_before.append(list(self.server.runs))
        super().print(*texts, **options)


QUIET = {"console": Console(file=io.StringIO())}


def send(study, mode="online", **options):
    return publish(study, Choice(mode=mode), **QUIET, **options)
