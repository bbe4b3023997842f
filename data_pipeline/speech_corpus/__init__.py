"""Speech corpora for the training of voices: sentences that the embedded voices speak, as a directory of plain files."""
