"""HTTP: SGLang's native API and the OpenAI API."""
