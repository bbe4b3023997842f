"""The demo's model, made from nothing by the real jobs at small scale."""

from collections.abc import Callable
from pathlib import Path

from data_pipeline.corpora.instructions import Instructions
from data_pipeline.dialogues.reading import read_dialogues
from data_pipeline.synthesis.speakers.flite import find_flite
from opens2s_core.audio import decode_audio, encode_audio
from opens2s_core.training.run import EXPORT
from ray_jobs import dialogue_recipes
from ray_jobs.build_dialogues import build_dialogues
from ray_jobs.init_model import init_model
from ray_jobs.prepare_data import prepare_data
from ray_jobs.recipes import demo
from ray_jobs.terminal import Terminal
from ray_jobs.train import train


def make_model(workspace: Path, terminal: Terminal) -> Path:
    """The demo's bundle, made by the real jobs where it is not there yet; each finished step is a resume point."""
    recipe = demo()
    dialogues, start, samples, run = (str(workspace / name) for name in ("dialogues", "start", "samples", "run"))
    texts = f"{Instructions.name}:{dialogues}"
    steps: list[tuple[str, Callable[[], object]]] = [
        ("building a small spoken corpus", lambda: build_dialogues(dialogue_recipes.demo(), dialogues)),
        (
            "starting a model from nothing",
            lambda: init_model(recipe.scratch, [texts], start),
        ),
        (
            "preparing training samples",
            lambda: prepare_data(recipe.prepare, Instructions(), dialogues, start, samples, recipe=demo.__name__),
        ),
        ("writing examples", lambda: write_examples(dialogues, workspace / "examples")),
        ("training with DeepSpeed", lambda: train(recipe.train, recipe.workers, samples, start, run)),
    ]
    bundle = Path(run) / EXPORT
    if bundle.exists():
        return bundle
    terminal.say(f"No checkpoint in {workspace}: making a small one, once.")
    if not find_flite():
        terminal.say(
            "flite is not installed, whose voice this model renders: its replies will not be clear. For clear ones "
            f"install it (apt-get install flite), remove {workspace} and start again."
        )
    for number, (name, step) in enumerate(steps, 1):
        with terminal.step(f"[{number}/{len(steps)}] {name}"):
            step()
    return bundle


def write_examples(dialogues: str, directory: Path) -> None:
    """What each user says first as a wav file, and ``examples.tsv`` with its text and the reply that was learned."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["file\temotion\ttext\treply"]
    for dialogue in read_dialogues(dialogues):
        user, reply = dialogue.messages[:2]
        wav = encode_audio(*decode_audio(user.audio), container="wav")
        name = f"{dialogue.row['id']}.wav"
        (directory / name).write_bytes(wav)
        lines.append("\t".join([name, dialogue.row["emotion"], user.message["text"], reply.message["text"]]))
    (directory / "examples.tsv").write_text("\n".join(lines) + "\n")


def read_examples(directory: Path) -> dict[Path, str]:
    """Each wav file that :func:`write_examples` wrote, and its text; empty where it has not run."""
    table = directory / "examples.tsv"
    if not table.exists():
        return {}
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    return {directory / file: text for file, _, text, _ in rows}
