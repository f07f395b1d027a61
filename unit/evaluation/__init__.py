"""Measures of translation: what a score says, printed beside what it would say of no model."""
