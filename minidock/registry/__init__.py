"""Registries: fetching images from them and sending images to them. OCI distribution-spec 1.1."""
