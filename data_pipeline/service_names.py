"""Services by the texts that name them in recipes and on command lines."""


def is_http_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def openai_service(spec: str) -> tuple[str, str] | None:
    """URL and model of ``openai:URL#MODEL``; None for any other text."""
    kind, _, rest = spec.partition(":")
    url, _, model = rest.partition("#")
    return (url, model) if kind == "openai" and is_http_url(url) and model else None
