"""Evaluate a model by a suite, compare runs, or have a judge compare the replies of two:

python -m ray_jobs.evaluate --suite voicebench-commoneval --data DIR --model runs/demo/run/export \\
       --output runs/common --judge 'openai:https://api.openai.com/v1#gpt-4o-mini'
python -m ray_jobs.evaluate --compare runs/common runs/common-other --output runs/compared
python -m ray_jobs.evaluate --pairwise runs/common runs/common-other --output runs/paired \\
       --judge 'openai:https://api.openai.com/v1#gpt-4o-mini'

The model is a path or URL of a bundle, of a published directory or of an OpenS2S directory, which a pool of Ray actors
loads, or the http(s) address of an endpoint with OpenAI's chat completions. Keys of endpoints are read from the
environment, OPENAI_API_KEY. Killed and started again with the same arguments, the same run goes on: no finished answer,
transcript or judgement is asked for again, and those with errors are. --output has report.html, report.json, run.json,
answers.jsonl with its clips under audio/, and judgements.jsonl.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai

from data_pipeline.service_names import is_http_url
from evaluation.judges.costs import Budget, Prices
from evaluation.pairwise_run import PairwiseRunConfig, plan_pairwise, run_pairwise
from evaluation.plan import plan_evaluation
from evaluation.report import compare
from evaluation.run import EvaluationConfig, run_evaluation
from ray_jobs.cluster import connect
from ray_jobs.progress import show_progress


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.compare:
            compare(args.compare, args.output)
            print(f"the comparison of {len(args.compare)} runs is at {args.output / 'comparison.html'}")
            return
        if args.pairwise:
            _compare_pairwise(args)
            return
        if missing := [name for name in ("suite", "data", "model") if not getattr(args, name)]:
            parser.error(f"expected --compare, --pairwise, or --suite, --data and --model; --{missing[0]} is missing")
        _evaluate(args)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"python -m ray_jobs.evaluate: {error}") from error
    except openai.APIStatusError as error:  # that every request would get
        raise SystemExit(f"python -m ray_jobs.evaluate: {error.request.url}: {error.message}") from error


def _evaluate(args: argparse.Namespace) -> None:
    config = _config(args)
    if args.plan:
        print(plan_evaluation(config))
        return
    if not is_http_url(config.model):
        connect(quiet=True)
    report = run_evaluation(config, progress=show_progress)
    counts = report["counts"]
    print(f"{counts['answered']:,} of {counts['items']:,} items are answered; {len(report['failures']):,} failures")
    for metric in report["metrics"]:
        print(_metric_line(metric))
    for note in report["facts"].get("notes", ()):
        print(note)
    print(f"report: {config.output / 'report.html'}")


def _compare_pairwise(args: argparse.Namespace) -> None:
    first, second = args.pairwise
    budget, prices = _budget(args)
    config = PairwiseRunConfig(
        first=first,
        second=second,
        output=args.output,
        judge=args.judge,
        data=args.data or "",
        seed=args.seed,
        budget=budget,
        prices=prices,
    )
    if args.plan:
        print(plan_pairwise(config))
        return
    report = run_pairwise(config, progress=show_progress)
    print(f"{report['labels'][0]} against {report['labels'][1]}, {report['counts']['judged']:,} items")
    for name in ("wins", "ties", "losses", "position_bias"):
        value, low, high = (None if share is None else 100 * share for share in report[name].values())
        print(_metric_line({"title": name, "unit": "%", "value": value, "low": low, "high": high}))
    if report["failures"]:
        print(report["failures"])
    print(f"report: {config.output / 'pairwise.html'}")


def _metric_line(metric: dict[str, Any]) -> str:
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    if value is None:
        return f"{metric['title']}: not scored"
    between = "" if low is None else f", 95 % interval {low:.4g} to {high:.4g}"
    return f"{metric['title']}: {value:.4g} {metric['unit']}".rstrip() + between


def _config(args: argparse.Namespace) -> EvaluationConfig:
    fields = [field.name for field in dataclasses.fields(EvaluationConfig)]
    values: dict[str, Any] = {name: getattr(args, name) for name in fields if hasattr(args, name)}
    budget, prices = _budget(args)
    return EvaluationConfig(**(values | {"options": dict(args.option), "budget": budget, "prices": prices}))


def _budget(args: argparse.Namespace) -> tuple[Budget | None, Prices | None]:
    prices = None
    if args.judge_prices:
        prices = Prices(prompt=args.judge_prices[0], completion=args.judge_prices[1])
    if args.budget_tokens is None and args.budget_cost is None:
        return None, prices
    return Budget(tokens=args.budget_tokens, cost=args.budget_cost, prices=prices), prices


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, defaults = parser.add_argument, {field.name: field.default for field in dataclasses.fields(EvaluationConfig)}
    add("--suite", help="name of the suite: voicebench-*, uro-*, asr, ser, speech, verbatim, tiny, …")
    add("--option", type=_option, action="append", default=[], metavar="NAME=VALUE", help="an option of the suite")
    add("--data", help="directory, file or URL of the suite's items")
    add("--model", help="bundle, published or OpenS2S directory, or http(s)://HOST[/v1][#MODEL]")
    add("--output", type=Path, required=True, help="directory of the run")
    add("--judge", default="", help="openai:URL#MODEL, for suites that need one (or later: answers are kept)")
    add("--recogniser", default="", help="whisper, whisper:DIRECTORY, pocketsphinx or openai:URL#MODEL")
    add("--limit", type=int, help="so many items, drawn with --seed (default: all)")
    add("--seed", type=int, default=defaults["seed"], help="of drawn items, of units and of judges (%(default)s)")
    add("--max-tokens", type=int, default=defaults["max_tokens"], help="of a reply's text (%(default)s)")
    add("--voice", default=defaults["voice"], help="the endpoint's name of the voice that replies (%(default)s)")
    add("--actors", type=int, default=defaults["actors"], help="models in process, each in an actor (%(default)s)")
    add(
        "--concurrency",
        type=int,
        default=defaults["concurrency"],
        help="requests to an endpoint at once; with more than one, times are those under load (%(default)s)",
    )
    add("--judge-prices", type=float, nargs=2, metavar=("PROMPT", "ANSWER"), help="USD for a million tokens of each")
    add("--budget-tokens", type=int, help="the most tokens that judging may use")
    add("--budget-cost", type=float, help="the most USD that judging may use, with --judge-prices")
    add("--plan", action="store_true", help="print the number of items, their audio and the cost of judging, and stop")
    add("--compare", type=Path, nargs="+", metavar="RUN", help="compare finished runs instead, into --output")
    add(
        "--pairwise",
        type=Path,
        nargs=2,
        metavar="RUN",
        help="ask --judge instead which of the replies of two runs is better, into --output",
    )
    return parser


if __name__ == "__main__":
    main()
