"""Dermoscopy-like images with metadata, drawn by a program: an archive that anybody may have.

Nothing here is a photograph of anybody. The images imitate what distinguishes the classes, well
enough that a network can learn them and not well enough that it is always right; they say nothing about
how a model does on real skin.
"""
