"""One test for every message about wrong input: its kind, what it says, the line it blames, the frames it shows."""
