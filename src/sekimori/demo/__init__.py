"""The main job, shown and checked step by step against a real language model. `sekimori demo`."""
