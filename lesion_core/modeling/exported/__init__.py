"""The exported file of a network, changed."""
