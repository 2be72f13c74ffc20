"""The chat page's process: one assistant shared by the page, the JSON API, the OpenAI-compatible door and MCP."""
