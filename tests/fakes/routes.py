"""The watched routes."""

CHAT = "/v1/chat/completions"
ROUTES = ("/generate", CHAT, "/v1/completions")
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
TYPED_ROUTES = (MESSAGES, RESPONSES)
ALL_ROUTES = (*ROUTES, *TYPED_ROUTES)
