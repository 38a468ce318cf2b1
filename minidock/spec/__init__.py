"""Pure data: the documents and names that OCI defines, parsed once and then trusted."""
