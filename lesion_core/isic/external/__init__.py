"""A folder of labelled images that no model was made from, brought into the store as it is."""
