"""Speed as ratios taken in one run, and the main job on real data."""
