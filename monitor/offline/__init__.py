"""Commands on recordings: what the panel would have found, learned and cost. Needs no engine."""
