"""A dataset for people: what it holds, as tables, figures and one page."""
