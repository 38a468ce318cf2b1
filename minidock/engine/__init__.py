"""What users mean: run, create, start, exec, commit, ps, rm, logs."""
