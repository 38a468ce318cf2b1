"""The image store: what an image is made of, on disk and in tarballs."""
