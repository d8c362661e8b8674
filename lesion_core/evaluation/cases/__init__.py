"""Single images behind a report's numbers: mistakes, what is like them, doubtful labels, and checks of maps."""
