"""Directories of weights, as published and as bundles.

An OpenS2S directory holds ``config.json``, safetensors shards, the text tokenizer and generation settings, the speech
decoder's tokenizer and settings in ``tts/``, and the feature extractor's settings in ``audio/``. A *bundle* is a
directory with all models of a service: ``opens2s/``, ``speech_tokenizer/``, ``token2wav/`` and, if it has named voices,
``voices.safetensors``.

Names are imported from the modules that define them and not re-exported here: a server's process loads one part of a
bundle, and importing the libraries of the others would double its start-up time.
"""
