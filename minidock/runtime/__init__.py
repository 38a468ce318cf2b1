"""The OCI runtime: a bundle goes in, a process comes out. It knows nothing of images."""
