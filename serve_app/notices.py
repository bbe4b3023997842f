"""What people must know before they listen."""

SYNTHETIC_NOTICE = "The voice is synthetic and the empathy is a model's."
UNTRAINED_NOTICE = "The voice of this checkpoint is untrained: what it says aloud is noise."
