import pytest

from opens2s_core.config import ConfigError, FlowConfig, Token2WavConfig, config_to_dict, parse_config


def test_plain_data_gives_the_configuration_back() -> None:
    config = Token2WavConfig(flow=FlowConfig(vocab_size=64), trained=False)
    assert parse_config(Token2WavConfig, config_to_dict(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"flow": {"vocabulary": 1}}, r"Token2WavConfig\.flow: unknown keys \['vocabulary'\]"),
        ({"flow": {"vocab_size": "many"}}, r"Token2WavConfig\.flow\.vocab_size: expected int, got 'many'"),
        ({"hift": {"upsample_rates": 8}}, r"Token2WavConfig\.hift\.upsample_rates: expected a list, got 8"),
        ({"flow": {"encoder": {"input_layer": "conv"}}}, r"input_layer: expected one of \['linear'\], got 'conv'"),
        ([], r"Token2WavConfig: expected a mapping of settings, got \[\]"),
    ],
)
def test_errors_name_the_place_and_what_was_expected(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(Token2WavConfig, values)
