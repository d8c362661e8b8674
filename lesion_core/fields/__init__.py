"""What is known of a patient besides the image: one table of fields, and their columns in stored tables."""
