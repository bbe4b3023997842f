"""Speech corpora to train voices on: sentences that the embedded voices speak, as a directory of plain files."""
