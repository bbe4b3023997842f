"""Directories of weights, in every published form.

An OpenS2S directory holds ``config.json``, safetensors shards, the text tokenizer and generation settings, the speech
decoder's tokenizer and settings in ``tts/``, and the feature extractor's settings in ``audio/``. A *bundle* is what a
reply needs, side by side: ``opens2s/``, ``speech_tokenizer/``, ``token2wav/`` and, where it has named voices,
``voices.safetensors``.

Each name is imported from the module that defines it. Nothing is gathered here: a server's process loads one part of a
bundle, and the libraries of the others would double the time until it answers.
"""
