"""A report as people read it: figures, tables, remarks, misclassified images, one HTML page."""
