#!/usr/bin/env python
"""Records what asyncio does, for the interpreter that runs this; see README.md beside it.

    python record.py [--repeat N] [--only GLOB]   runs the scenarios, each in a process of its own, and writes
                                                  traces/cpython-3.X.json
    python record.py --scenario NAME              runs one here; its events are the lines of the output
    python record.py --table                      prints how the recorded versions differ, for README.md
"""

import argparse
import fnmatch
import json
import os
import pathlib
import signal
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from scenarios import SCENARIOS  # noqa: E402
from scenarios.trace import Skipped, Trace  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TRACES = HERE / "traces"
# A scenario that waits for what never comes.
SECONDS = 60


class Failed(Exception):
    """A scenario cannot be recorded."""


def run_here(name):
    trace = Trace(1)
    try:
        SCENARIOS[name](trace)
    except Skipped as skipped:
        trace.event("skipped", value=str(skipped))


def run_in_child(name):
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        # Forked, not started: hundreds of fresh interpreters take minutes. This process has neither threads, nor loops,
        # nor a policy that a child could inherit.
        pid = os.fork()
        if pid == 0:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            signal.alarm(SECONDS)
            be_child(name)
        status = os.waitpid(pid, 0)[1]
        stdout.seek(0)
        stderr.seek(0)
        lines, errors = stdout.read().decode(), stderr.read().decode()
    if status != 0:
        raise Failed("{} ended with status {:#x}, after\n{}{}".format(name, status, lines, errors))
    events = [json.loads(line) for line in lines.splitlines()]
    skipped = [event["value"] for event in events if event["event"] == "skipped"]
    return {"skipped": skipped[0]} if skipped else events


def be_child(name):
    """Runs a scenario and ends the process, whatever happens."""
    status = 1
    try:
        run_here(name)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def record(name, repeat):
    first = run_in_child(name)
    for _ in range(repeat - 1):
        again = run_in_child(name)
        if again != first:
            raise Failed("{} is not deterministic:\n{}\n{}".format(name, first, again))
    return first


def record_all(names, repeat):
    """All traces, or what went wrong with all those that went wrong."""
    traces, failures = {}, []
    for name in names:
        try:
            traces[name] = record(name, repeat)
        except Failed as failed:
            failures.append(str(failed))
    if failures:
        raise SystemExit("\n".join(failures))
    return traces


def text_of(traces):
    """JSON with one event in a line, so that a change is a readable diff."""
    lines = []
    for name, trace in sorted(traces.items()):
        if isinstance(trace, dict):
            lines.append("    {}: {}".format(json.dumps(name), json.dumps(trace)))
        else:
            events = ",\n".join("      " + json.dumps(event) for event in trace)
            lines.append("    {}: [\n{}\n    ]".format(json.dumps(name), events))
    version = json.dumps(".".join(map(str, sys.version_info[:3])))
    return '{{\n  "python": {},\n  "scenarios": {{\n{}\n  }}\n}}\n'.format(version, ",\n".join(lines))


def groups_of(versions, name):
    """The versions that have the same trace, together; without those that have no such thing."""
    groups = {}
    for version, traces in versions:
        if isinstance(traces[name], list):
            groups.setdefault(json.dumps(traces[name]), []).append(version)
    return list(groups.values())


def print_table():
    paths = sorted(TRACES.glob("cpython-*.json"), key=lambda path: int(path.stem.rpartition(".")[2]))
    versions = [(path.stem.rpartition("-")[2], json.loads(path.read_text())["scenarios"]) for path in paths]
    print("| scenario | versions with the same trace |\n|---|---|")
    for name in sorted(SCENARIOS):
        groups = groups_of(versions, name)
        if len(groups) > 1:
            print("| `{}` | {} |".format(name, "; ".join(", ".join(group) for group in groups)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", metavar="NAME")
    parser.add_argument("--only", metavar="GLOB", help="print these instead of writing the file")
    parser.add_argument("--repeat", metavar="N", type=int, default=1, help="run each N times and compare")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.scenario:
        return run_here(options.scenario)
    if options.table:
        return print_table()
    names = fnmatch.filter(SCENARIOS, options.only or "*")
    text = text_of(record_all(names, options.repeat))
    if options.only:
        print(text, end="")
        return None
    TRACES.mkdir(exist_ok=True)
    path = TRACES / "cpython-{}.{}.json".format(*sys.version_info)
    path.write_text(text)
    return print(path)


if __name__ == "__main__":
    main()
