"""Other tools over the same articles and questions: how well each finds the evidence, and how long it takes."""
