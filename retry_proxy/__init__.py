"""The data plane: watches generations, stops sick ones and has another replica do them again."""
