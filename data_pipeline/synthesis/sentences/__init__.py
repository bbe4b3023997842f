"""English sentences to train and measure voices on, without a model and without a download."""
