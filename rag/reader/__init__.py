"""Readers: what turns found passages into quotes that answer, with no LLM."""
