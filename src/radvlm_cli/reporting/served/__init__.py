"""The pages of `radvlm serve` that are not Datasette's own: the first one, and one for each prediction."""
