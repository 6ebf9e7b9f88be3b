"""The phantom datasets: `world.write_world` writes them all, in the layouts of the real ones."""
