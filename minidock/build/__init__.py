"""A Dockerfile and a directory become an image."""
