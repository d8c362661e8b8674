"""Submissions and ground truths of ISIC 2019, and their score."""
