from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from data_pipeline.steps.transformers_generator import TransformersGenerator, TransformersGeneratorConfig
from opens2s_core.training.from_scratch import train_text_tokenizer

PROMPTS = ["Rain.", "Continue the following sentence in a coherent style: It rained all day.", "Why?"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("qwen3")
    tokenizer = train_text_tokenizer([*PROMPTS, TEMPLATE], 400)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    network = Qwen3ForCausalLM(config)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0, 0.3)
    network.generation_config.update(do_sample=True, temperature=0.6, top_k=20)  # as Qwen3 is published
    network.save_pretrained(directory)
    return str(directory)


def generator(model: str, batch_size: int = 4, max_new_tokens: int = 12) -> TransformersGenerator:
    return TransformersGenerator(
        TransformersGeneratorConfig(model=model, batch_size=batch_size, max_new_tokens=max_new_tokens)
    )


def greedy(model: str, prompt: str, count: int) -> str:
    """One token after the other, without a batch, padding or cache."""
    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n<think></think>"
    ids = tokenizer.encode(text, add_special_tokens=False)
    begin = len(ids)
    for _ in range(count):
        ids.append(int(network(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return str(tokenizer.decode(ids[begin:], skip_special_tokens=True))


def test_answers_are_greedy_whatever_else_is_in_the_batch(model: str) -> None:
    expected = [greedy(model, prompt, 12) for prompt in PROMPTS]
    assert len(set(expected)) == len(PROMPTS)
    assert generator(model).generate(PROMPTS) == expected
    assert generator(model, batch_size=2).generate(PROMPTS) == expected


def test_answers_end_after_so_many_tokens(model: str) -> None:
    (short,), (long,) = (generator(model, max_new_tokens=count).generate(PROMPTS[:1]) for count in (3, 12))
    assert isinstance(short, str)
    assert isinstance(long, str)
    assert long.startswith(short)
    assert len(short) < len(long)


def test_a_model_without_a_chat_template_is_refused(model: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no chat template: expected a chat model"):
        generator(str(tmp_path))
