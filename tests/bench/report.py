"""`python -m tests.bench.report FOLDER PAGE`: the page of all results in a folder, and its plots beside them.

The page says nothing that is not in the results: medians and spreads of the runs, ratios to peers, machine, versions and commands.
Plots are of the first run of each measurement.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from tests.bench.run import NAMES
from tests.bench.support import svg
from tests.support.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the page: where it is in a result, what it is, what is good, and where its peers' are (`{}` is the peer)."""

    path: str
    label: str
    better: Literal["more", "less", ""] = ""
    peers: str = ""


def _peer(key: str) -> str:
    return f"peers.{{}}.{key}"


QUESTIONS = {
    "limits": "Does a provider ever count too much, and is what it allows used?",
    "latency": "How soon does a send start when nothing else is to do?",
    "priority": "How long does an OTP wait behind a campaign?",
    "fair": "How long does a small source wait behind a large one of its own priority?",
    "batch": "Do singles with one text go out in as few calls as the provider allows?",
    "due": "What does a million delayed sends weigh, and do those of one second start in time?",
    "schedule": "What does a million waiting schedules weigh, and do those of one second fire in time?",
    "enqueue": "What does it cost to accept a send?",
    "drain": "How fast does a backlog go out where nothing limits it?",
    "receipts": "How fast does one gateway process take receipts in?",
    "gateway": "How fast does one gateway process accept intents over HTTP?",
    "crash": "What does a worker's death lose or double, and how soon is its work done by another?",
    "scaling": "What do workers that come and go cost?",
    "capacity": "What do a call, a recipient and an idle account cost?",
}

FIGURES = {
    "limits": (
        Figure("violations", "calls over a limit", "less"),
        Figure("rate_limited", "429 from the provider", "less", _peer("rate_limited")),
        Figure("wasted_claims", "jobs started in vain", "less", _peer("wasted")),
        Figure("utilisation", "of what the OTP floor leaves, used (peers: of the whole limit)", "more", _peer("utilisation")),
        Figure("sustained", "kept up, of the limit's rate", "more"),
        Figure("expected_floor", "must be kept up at the least"),
        Figure("refused_claims_per_call", "claims told to wait, for a call", "less"),
    ),
    "latency": (
        Figure("start_p50_ms", "from enqueue to the call, p50, ms", "less", _peer("p50_ms")),
        Figure("start_p99_ms", "from enqueue to the call, p99, ms", "less", _peer("p99_ms")),
        Figure("ratio_p50", "p50 by a bare BLPOP loop's", "less"),
        Figure("idle_commands_per_s", "Redis commands of an idle worker, in a second", "less", _peer("idle_commands_per_s")),
    ),
    "priority": (
        Figure("otp_p50_ms", "an OTP's wait, p50, ms", "less"),
        Figure("otp_p99_ms", "an OTP's wait, p99, ms", "less"),
        Figure("permit_interval_ms", "promised at the most, ms"),
        Figure("bulk_share_of_rest", "the campaign's share of what OTPs and their floor leave", "more"),
        Figure("violations", "calls over a limit", "less"),
    ),
    "fair": (
        Figure("ratio", "the small source's last call, by the fair time", "less"),
        Figure("b_last_s", "the small source's last call, s", "less"),
        Figure("violations", "calls over a limit", "less"),
    ),
    "batch": (
        Figure("calls", "calls for all singles", "less"),
        Figure("recipients_per_call", "recipients in a call", "more"),
        Figure("seconds", "until the last call, s", "less"),
        Figure("violations", "calls over a limit", "less"),
    ),
    "due": (
        Figure("bytes_per_job_beyond_record", "bytes of a delayed job beyond its record", "less"),
        Figure("worker_rss_growth_mb", "what a waiting worker grew by, MB", "less"),
        Figure("claim_ratio", "a claim beside a million delayed jobs, by one beside a thousand", "less"),
        Figure("start_p50_ms", "from a job's time to its call, p50, ms", "less"),
        Figure("start_p99_ms", "from a job's time to its call, p99, ms", "less"),
    ),
    "schedule": (
        Figure("bytes_per_schedule", "bytes of a schedule that waits", "less"),
        Figure("accepted_per_s", "schedules accepted in a second", "more"),
        Figure("pause_resume_cancel_per_s", "paused, resumed and cancelled in a second", "more"),
        Figure("fire_p99_ms", "from its time to its intent, p99, ms", "less"),
        Figure("call_p99_ms", "from its time to its call, p99, ms", "less"),
    ),
    "enqueue": (
        Figure("enqueue_per_s", "accepted one by one, in a second", "more", _peer("per_s")),
        Figure("enqueue_many_per_s", "accepted from an iterable, in a second", "more", _peer("many_per_s")),
        Figure("enqueue_many_vs_bare", "the latter, by bare writes", "more"),
        Figure("cpu_s_per_1000", "CPU of the client for a thousand, s (ours: from an iterable)", "less", _peer("cpu_s_per_1000")),
        Figure("bytes_per_waiting_single", "memory for one that waits, bytes", "less", _peer("bytes_per_waiting_single")),
        Figure("redis_writes_per_intent", "write commands for one", "less"),
    ),
    "drain": (
        Figure("calls_per_s", "calls in a second, one recipient each", "more", _peer("calls_per_s")),
        Figure("recipients_per_s_batched", "recipients in a second, a hundred to a call", "more"),
        Figure("batched_vs_bare", "the latter, by bare writes", "more"),
        Figure("produced_and_drained_per_s", "recipients in a second, from enqueue to call", "more"),
    ),
    "receipts": (
        Figure("receipts_per_s", "receipts in a second", "more"),
        Figure("of_ceiling", "by a bare receiver's (plain ASGI, one XADD for each)", "more"),
        Figure("ack_p99_ms", "from a receipt to its answer, p99, ms", "less"),
        Figure("events_per_s", "events told on in a second", "more"),
        Figure("bytes_per_raw_receipt", "bytes of a receipt that is kept as it came", "less"),
    ),
    "gateway": (
        Figure("http_per_s", "intents in a second, one by one", "more"),
        Figure("http_p99_ms", "from a request to its answer, p99, ms", "less"),
        Figure("http_lines_per_s", "intents in a second, as lines", "more"),
        Figure("http_vs_enqueue", "one by one, by the producer", "more"),
        Figure("http_lines_vs_enqueue_many", "as lines, by the producer", "more"),
    ),
    "crash": (
        Figure("tuma.SIGKILL.lost", "SIGKILL: lost", "less", _peer("lost")),
        Figure("tuma.SIGKILL.duplicated", "SIGKILL: doubled", "less", _peer("duplicated")),
        Figure("tuma.SIGKILL.not_done_within_s", "SIGKILL: not done in time", "less", _peer("not_done_within_s")),
        Figure("tuma.SIGKILL.recovered_median_s", "SIGKILL: until its work is done, s", "less", _peer("recovered_median_s")),
        Figure("tuma.SIGTERM.lost", "SIGTERM: lost", "less"),
        Figure("tuma.SIGTERM.duplicated", "SIGTERM: doubled", "less"),
        Figure("tuma.SIGTERM.recovered_median_s", "SIGTERM: until its work is done, s", "less"),
    ),
    "scaling": (
        Figure("lost", "lost", "less"),
        Figure("duplicated", "doubled", "less"),
        Figure("violations", "calls over a limit", "less"),
        Figure("rollout.limited.dip", "dip of a rollout where the limit holds", "less"),
        Figure("rollout.limited.noise", "the calm's own, likewise"),
        Figure("rollout.unlimited.dip", "dip of a rollout where nothing does", "less"),
        Figure("rollout.unlimited.noise", "the calm's own, likewise"),
    ),
    "capacity": (
        Figure("worker_ms_per_call", "a worker's CPU for a call, ms", "less"),
        Figure("worker_ms_per_recipient", "and for each recipient, ms", "less"),
        Figure("redis_ms_per_call", "the server's CPU for a call, ms", "less"),
        Figure("redis_ms_per_recipient", "and for each recipient, ms", "less"),
        Figure("bytes_per_waiting_single", "bytes of a single that waits", "less"),
        Figure("bytes_per_finished_single", "bytes of one that was handed over", "less"),
        Figure("bytes_per_finished_record", "of them its record", "less"),
        Figure("bytes_per_events_of_single", "of them its events", "less"),
        Figure("bytes_per_finished_call", "of them its call", "less"),
        Figure("connections_of_rest", "connections of a worker, without its threads' and its accounts'", "less"),
        Figure("connections_per_account", "and for each account (of Lisoloo's)", "less"),
        Figure("worker_ms_per_s_and_idle_account", "a worker's CPU in a second for an idle account, ms", "less"),
        Figure("redis_ms_per_s_and_idle_account", "the server's, likewise", "less"),
    ),
}  # fmt: skip

# Why a peer is better, where it is known.
WHY = {
    "start_p50_ms": "between the bell and the call a claim asks the limiter and an attempt is written down; a peer just calls",
    "start_p99_ms": "the same, and each of these steps may meet a busy core",
    "idle_commands_per_s": (
        "an idle worker claims from each queue every few seconds and takes its duties' leads anew, so that others can take over"
    ),
    "enqueue_per_s": "an intent is checked, and its record, job and event are written in one script; a peer writes its job alone",
    "enqueue_many_per_s": "the same, five hundred at a time at the peer's",
    "cpu_s_per_1000": "an intent is checked field by field: numbers, text and its segments, times",
    "bytes_per_waiting_single": "a record with the state of each recipient, and an event, beside the job",
    "calls_per_s": "limiter, attempt, record and events: [what a call costs](decisions/what-a-call-costs.md)",
    "tuma.SIGKILL.recovered_median_s": "what nobody proved is done by nobody until the lease is over",
    "utilisation": "ours is of what the floor for OTPs leaves",
}


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of the runs that have the figure, and how far they lie apart."""

    value: float
    least: float
    most: float

    def spread(self) -> str:
        """As the page says it."""
        return "" if self.least == self.most else f"{_number(self.least)} to {_number(self.most)}"


def load(folder: Path) -> dict[str, list[Result]]:
    """All results, by measurement and in the order of the runs."""
    found: dict[str, list[Result]] = defaultdict(list)
    for path in sorted(folder.glob("*-*.json")):
        found[path.stem.rpartition("-")[0]].append(json.loads(path.read_text(encoding="utf-8")))
    return {name: found[name] for name in NAMES if name in found}


def _at(figures: Any, path: str) -> Any:  # noqa: ANN401 - anything that JSON can hold
    for name in path.split("."):
        figures = figures.get(name) if isinstance(figures, dict) else None
    return figures


def _middle(results: Sequence[Result], path: str) -> Middle | None:
    values = [value for one in results if isinstance(value := _at(one["figures"], path), int | float)]
    return Middle(median(values), min(values), max(values)) if values else None


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"


def _peers(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(name for one in results for name in one["figures"].get("peers", {})))


def _ours(figures: Sequence[Figure], results: Sequence[Result]) -> str:
    rows = []
    for figure in figures:
        found = _middle(results, figure.path)
        rows.append([figure.label, f"`{figure.path}`", "not measured" if found is None else _number(found.value),
                     "" if found is None else found.spread()])  # fmt: skip
    return table(["", "figure", "median", "least to most"], rows)


def _beside(figures: Sequence[Figure], results: Sequence[Result]) -> str:
    """What peers have to show, each with its ratio to ours."""
    names = _peers(results)
    compared = [figure for figure in figures if figure.peers]
    if not names or not compared:
        return ""
    rows = []
    for figure in compared:
        ours = _middle(results, figure.path)
        cells = [_cell(ours, _middle(results, figure.peers.format(name))) for name in names]
        rows.append([figure.label, "-" if ours is None else _number(ours.value), *cells])
    return table(["beside peers (in brackets: by ours)", "Tuma", *names], rows)


def _cell(ours: Middle | None, theirs: Middle | None) -> str:
    if theirs is None:
        return "-"
    ratio = f" ({theirs.value / ours.value:.2g})" if ours is not None and ours.value else ""
    return _number(theirs.value) + ratio


def _losses(found: dict[str, list[Result]]) -> Iterator[str]:
    """Each figure in which a peer's median is better than ours."""
    for bench, results in found.items():
        for figure in FIGURES[bench]:
            ours = _middle(results, figure.path)
            if ours is None or not figure.peers:
                continue
            better = [
                f"{name} {_number(theirs.value)}"
                for name in _peers(results)
                if (theirs := _middle(results, figure.peers.format(name))) is not None
                and (theirs.value > ours.value if figure.better == "more" else theirs.value < ours.value)
            ]
            if better:
                why = WHY.get(figure.path, "not explained yet")
                yield f"- [{bench}](#{bench}), {figure.label}: {_number(ours.value)}, where {', '.join(better)}. Why: {why}."


def _section(bench: str, results: Sequence[Result], plots: Sequence[str]) -> str:
    times, load_before = len(results), max(one["figures"]["machine"]["load_before"] for one in results)
    runs = "one run" if times == 1 else f"{times} runs"
    head = f"`{results[-1]['command']}`: {runs}, the last at {results[-1]['at']}; load before a run at the most {load_before:g}."
    pictures = "\n".join(f"![{_title(plot)}](benchmarks/{plot})" for plot in plots)
    parts = [f"## {bench}", QUESTIONS[bench], head, _ours(FIGURES[bench], results), _beside(FIGURES[bench], results), pictures]
    return "\n\n".join(part for part in parts if part)


def _title(plot: str) -> str:
    return plot.removesuffix(".svg").replace("-", " ")


def _machines(found: dict[str, list[Result]]) -> str:
    machines = [one["figures"]["machine"] for results in found.values() for one in results]
    said = dict.fromkeys(
        f"- {one['cores']} cores ({one['processor']}), {one['system']}, Python {one['python']}; "
        + ", ".join(f"{name} {number}" for name, number in one["versions"].items())
        for one in machines
    )
    return "\n".join(said)


HEAD = """# Benchmarks

Made by `make bench` of the results in [benchmarks/](benchmarks), one file for each run; not written by hand. One of them is
repeated by `make bench BENCHES=fair REPEAT=1`. What each measures, and what each figure means:
[tests/bench/README.md](../tests/bench/README.md). Peers run in the exact versions of `tests/bench/peers/`, as their guides set them
up.

A figure is the median of the runs, beside the least and the most of them. A peer that could not run has none. The commands run
after `make setup`, with `.venv/bin` on the PATH."""


def page(found: dict[str, list[Result]], plots: dict[str, dict[str, str]]) -> str:
    """The whole page."""
    losses = "\n".join(_losses(found)) or "In no figure that was measured."
    missing = [name for name in NAMES if name not in found]
    parts = [HEAD, "## The machine", _machines(found), "## Where a peer is better", losses]
    parts += [_section(bench, results, list(plots.get(bench, {}))) for bench, results in found.items()]
    if missing:
        parts += ["## Not measured yet", ", ".join(f"`{name}`" for name in missing)]
    return "\n\n".join(parts) + "\n"


# ------------------------------------------------------------------------------------------------------------------- plots


def draw(found: dict[str, list[Result]]) -> dict[str, dict[str, str]]:
    """The plots of each measurement that has some: file name and picture."""
    drawn = {bench: plot(results[0]["figures"]) for bench, plot in PLOTS.items() if (results := found.get(bench))}
    return {bench: plots for bench, plots in drawn.items() if plots}


def _limits(figures: Any) -> dict[str, str]:  # noqa: ANN401 - a result
    cases = {name: case["use_over_time"] for name, case in figures["cases"].items() if name != "threefold"}
    plots = {"limiter-use-over-time.svg": cases}
    beside = {"Tuma": cases.get("steady")} | {name: (one or {}).get("use_over_time") for name, one in figures["peers"].items()}
    if "steady" in cases and figures["peers"]:
        plots["limiter-use-beside-peers.svg"] = beside
    return {
        name: svg.lines(
            "How full the window is", {one: curve for one, curve in curves.items() if curve},
            across="seconds since the first call", up="of the limit, in the window that ends then", mark=("all of it", 1.0),
        )
        for name, curves in plots.items()
        if any(curves.values())
    }  # fmt: skip


def _priority(figures: Any) -> dict[str, str]:  # noqa: ANN401 - a result
    picture = svg.lines(
        "How long OTPs wait behind a campaign", {"an OTP": figures["waits"]},
        across="seconds", up="ms from enqueue to the call", mark=("a permit's interval", figures["permit_interval_ms"]),
    )  # fmt: skip
    return {"otp-latency-under-a-campaign.svg": picture}


def _enqueue(figures: Any) -> dict[str, str]:  # noqa: ANN401 - a result
    peers = {name: one["bytes_per_waiting_single"] for name, one in figures["peers"].items() if one}
    values = {"Tuma": figures["bytes_per_waiting_single"], **peers}
    return {"memory-per-waiting-intent.svg": svg.bars("Memory per waiting intent", values, up="bytes of the server")}


def _drain(figures: Any) -> dict[str, str]:  # noqa: ANN401 - a result
    names = {"calls": "Tuma", "dramatiq": "stock Dramatiq"}
    curves = {
        names[name]: [(0.0, 0.0), *((float(workers), float(rate)) for workers, rate in rates.items())]
        for name, rates in figures["calls_per_s_by_workers"].items()
        if rates
    }
    if not curves:
        return {}
    picture = svg.lines("Calls by worker processes", curves, across="worker processes of eight threads", up="calls in a second")
    return {"drain-rate-by-workers.svg": picture}


PLOTS = {"limits": _limits, "priority": _priority, "enqueue": _enqueue, "drain": _drain}


def write(folder: Path, to: Path) -> None:
    """Make the page and the plots again; plots that nothing draws any more go."""
    found = load(folder)
    plots = draw(found)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, picture in (pair for drawn in plots.values() for pair in drawn.items()):
        (folder / name).write_text(picture, encoding="utf-8")
    to.write_text(page(found, plots), encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the results are, and the plots go")
    parser.add_argument("page", type=Path, help="the page that is written; it links to a folder `benchmarks` beside it")
    options = parser.parse_args()
    write(options.folder, options.page)


if __name__ == "__main__":
    main()
