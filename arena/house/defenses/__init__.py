"""House defenses, one file each; their weights come from ``arena/house/recipes.py``."""
