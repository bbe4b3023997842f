"""Quality of dialogues: the measures of their messages, the bounds of the measures, and reports to look at."""
