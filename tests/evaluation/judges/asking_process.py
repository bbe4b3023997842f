"""Ask the judge at a URL a number of questions: started by tests that kill it."""

import sys
from pathlib import Path

from evaluation.judges.asking import collect_judgements
from evaluation.judges.judge import open_judge
from tests.evaluation.judges.fake_judge import questions

if __name__ == "__main__":
    url, count, path = sys.argv[1:]
    collect_judgements(open_judge(f"openai:{url}#fake", concurrency=4), questions(int(count)), Path(path))
