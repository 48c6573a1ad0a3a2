"""The plain transformer, its sizes, and where its weights come from."""
