# SPDX-License-Identifier: BSD-3-Clause
"""Rows from rounds, the table on the terminal, the tables of docs/performance.md. A row has: name, unit, guest, statistic, ours, peer, peer_value, ratio, goal,
goal_is, reached, runs (a round each), rounds_failed; docs/performance.md says what they mean."""
import statistics

BEGIN, END = "<!-- figures: made by scripts/perf-document -->", "<!-- end of figures -->"  # in docs/performance.md
QUIET_PERCENT = 90  # idle before and after: else nobody should believe the figures


def steady(runs):
    """Those in which the cores were near all the time; emulated Xen's, whose cores are not these, do not say."""
    return [one for one in runs if one.get("steady", True)]


def make_row(name, unit, guest, statistic, goal, rounds, failed=(), less=False):
    """rounds: {"ours", "peers", "ping_pong_ns", "idle_percent", "steady"} each. The round's peer is its best; the row's is the one that was best most often.
    Rounds in which the cores were not near all the time count only when there are no others."""
    def best(one):
        """(peer, value)"""
        return (min if less else max)(one["peers"].items(), key=lambda item: item[1])

    runs = [{**one, "ratio": one["ours"] / best(one)[1]} for one in rounds]
    counted = steady(runs) or runs
    peers, values = zip(*map(best, counted))
    ratio = statistics.median(one["ratio"] for one in counted)
    return {"name": name, "unit": unit, "guest": guest, "statistic": statistic, "ours": statistics.median(one["ours"] for one in counted),
            "peer": statistics.mode(peers), "peer_value": statistics.median(values), "ratio": ratio,
            "goal": goal, "goal_is": "at most" if less else "at least", "reached": ratio <= goal if less else ratio >= goal,
            "runs": runs, "rounds_failed": list(failed)}


def consistent(row):
    """Does the row follow from its rounds? A line that says what does not, or None."""
    less = row["goal_is"] == "at most"
    again = make_row(row["name"], row["unit"], row["guest"], row["statistic"], row["goal"], row["runs"], row["rounds_failed"], less)
    for key in ("ratio", "ours", "peer_value"):
        if abs(again[key] - row[key]) > 1e-6 * abs(row[key]):
            return f"{row['name']}: {key} is {row[key]}, its rounds give {again[key]}"
    return None if again["reached"] == row["reached"] else f"{row['name']}: reached is {row['reached']}, its rounds say otherwise"


def number(row, key):
    return f"{row[key]:.0f}" if row[key] >= 1000 else f"{row[key]:.1f}" if row[key] >= 100 else f"{row[key]:.3f}"


def goal(row):
    return f"{'≤' if row['goal_is'] == 'at most' else '≥'} {row['goal']}"


def quiet(machine):
    return min(machine["idle_percent_before_after"]) >= QUIET_PERCENT


def machine_line(machine):
    before, after = machine["idle_percent_before_after"]
    return (f"{machine['cores']} cores, cache line ping-pong {machine['ping_pong_ns_before_after'][0]:.0f} ns before and "
            f"{machine['ping_pong_ns_before_after'][1]:.0f} ns after, {before} % idle before and {after} % after, "
            f"{'2 MiB' if machine['huge_pages'] else '4 KiB'} pages, one copy of 64 KiB packets {machine['one_copy_gbps']:.0f} Gbit/s, Linux {machine['kernel']}")


def warning(machine):
    return None if quiet(machine) else "Others used the machine: these figures show that the rows work, not how fast anything is."


def table(result):
    print(f"  {machine_line(result['machine'])}")
    if warning(result["machine"]):
        print(f"  {warning(result['machine'])}")
    print(f"\n  {'':<60}{'unit':>7}{'ours':>11}{'peer':>11}{'ratio':>7}{'goal':>8}")
    for row in result["rows"]:
        name = row["name"] + (" [kernel]" if row["guest"].startswith("minimal kernel") else "")
        print(f"  {name:<60}{row['unit']:>7}{number(row, 'ours'):>11}{number(row, 'peer_value'):>11}{row['ratio']:7.2f}{goal(row):>8}"
              f"  {'reached' if row['reached'] else 'NOT reached'}, {row['peer']}, {len(row['runs'])} rounds, {len(steady(row['runs']))} steady")
    for row in result["not_measured"]:
        print(f"  {row['name']}: not measured: {row['why']}")
    print(f"\n  {sum(row['reached'] for row in result['rows'])} of {len(result['rows'])} rows reached, {len(result['not_measured'])} not measured")


def markdown(result):
    """What docs/performance.md shows of a run."""
    lines = [f"Run of {result['date']}, {result['seconds']} s a measurement: {machine_line(result['machine'])}."]
    if warning(result["machine"]):
        lines.append(f"**{warning(result['machine'])}**")
    lines += ["", "| row | guest | unit | ours | best peer | ratio | goal | reached | ratios of the rounds, how many, steady |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in result["rows"]:
        ratios = [one["ratio"] for one in row["runs"]]
        lines.append(f"| {row['name']} | {row['guest']} | {row['unit']}, {row['statistic']} | {number(row, 'ours')} | {number(row, 'peer_value')} ({row['peer']}) | "
                     f"{row['ratio']:.2f} | {goal(row)} | {'yes' if row['reached'] else 'no'} | {min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)}, {len(steady(row['runs']))} |")
    if result["not_measured"]:
        lines += ["", "| not measured | why |", "| --- | --- |"]
        lines += [f"| {row['name']} | {row['why'].replace('|', '/')} |" for row in result["not_measured"]]
    return "\n".join(lines)
