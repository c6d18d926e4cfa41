"""`zoco status`: the whole system as a table."""

from typing import Any

from rich.console import Console
from rich.table import Table

from cli.local.control import ask
from cli.local.home import Home
from cli.local.memory import pss_bytes

_COLOURS = {"healthy": "green", "starting": "yellow", "restarting": "red", "unhealthy": "red"}


def fetch(home: Home, *, memory: bool) -> dict[str, Any]:
    """Return what the supervisor tells; with `memory`, the `pss_bytes` of each process and of the supervisor too.

    Raises:
        NotRunning: nothing runs under `home`.
    """
    answer = ask(home.control_socket, {"request": "status"})
    if memory:
        for row in answer["processes"]:
            row["pss_bytes"] = pss_bytes(row["pid"]) if row["pid"] else None
        # Its children are in the rows already; the fork server only serves it.
        own = [pss_bytes(pid, family=False) for pid in (answer["pid"], answer["forkServerPid"]) if pid]
        answer["supervisor_pss_bytes"] = sum(size or 0 for size in own) if any(own) else None
    return answer


def all_healthy(answer: dict[str, Any]) -> bool:
    """Return whether the system is up and every process is healthy."""
    return answer["phase"] == "running" and all(row["state"] == "healthy" for row in answer["processes"])


def show(answer: dict[str, Any], console: Console, *, memory: bool) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("process", "state", "reason"):
        table.add_column(name, overflow="fold")
    for name in ("pid", "port", "uptime", "restarts", *(["memory"] if memory else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row in answer["processes"]:
        colour = _COLOURS.get(row["state"], "dim")
        reason = row["reason"] or (f"was: {row['last_exit']}" if row["last_exit"] else "")
        cells = [
            row["process"],
            f"[{colour}]{row['state']}[/{colour}]",
            reason,
            str(row["pid"] or "-"),
            str(row["port"] or "-"),
            _span(row["uptime_seconds"]),
            str(row["restarts"]),
        ]
        table.add_row(*cells, *([_megabytes(row["pss_bytes"])] if memory else []))
    console.print(table)
    console.print(f"mesh {answer['mesh']}", highlight=False)
    if memory:
        own = answer["supervisor_pss_bytes"]
        total = sum(row["pss_bytes"] or 0 for row in answer["processes"]) + (own or 0)
        console.print(f"supervisor {_megabytes(own)}, whole system {_megabytes(total)} (PSS)", highlight=False)
    if answer["phase"] != "running":
        console.print(f"The system is {answer['phase']}.")


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _megabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:.1f} MB"
