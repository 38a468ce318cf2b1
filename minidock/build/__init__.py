"""A Dockerfile and a directory become an image.

The language:

    text ─ lines.py ─ dockerfile.py ─────► instructions.py     the file as values; errors.py shows
                      (grammar.py, mounts.py)                  the place where it is wrong
    instruction + variables.py ──────────► instruction         its texts as they are meant
    instruction + config.py  ────────────► config              ENV, CMD, LABEL … of the image
    directory + dockerignore.py ─────────► context             what the build may see

parse_dockerfile(text, path) -> Dockerfile                             dockerfile.py
parse_triggers(triggers, image) -> tuple[Instruction, ...]             dockerfile.py: ONBUILD
global_arguments(dockerfile, build_args, platform) -> dict             variables.py: what FROM sees
expanded(instruction or stage, variables, escape) -> the same          variables.py
configured(config, instruction) -> config                              config.py; pure
Ignore(text).excludes(path, is_directory) -> bool                      dockerignore.py

What is done:

    builder.py      which stages, at the same time; at the end, the image
    stage.py        one stage: instruction after instruction, state.py after state.py
    cache.py        which steps were done before, and why one has to be done again
      RUN           run.py: a container whose writable directory becomes the layer; run_mounts.py,
                    stubs.py, secrets.py; epoch.py sets times back
      COPY, ADD     copying.py: sources.py (what), copy.py (where to, whose), layer.py (files and
                    tarball in one go), directory.py, image/stack.py (where from), hashes.py (what
                    need not be read again), archives.py, download.py, chmod.py
    context.py      what is built from, and options.py: how
    export.py, squash.py, cache_from.py, prune.py, daily.py: what is seldom wanted
"""
